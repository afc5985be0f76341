import math

import pytest
from support.router_server import RouterServer
from support.small_leader import SmallLeader

KEY = {"authorization": "Bearer secret"}


def states(running: RouterServer) -> dict[str, str]:
    return {
        leader.address: "ready" if leader.is_ready else leader.problem
        for leader in running.router.fleet.leaders
    }


def test_a_leader_that_fails_is_dropped_and_taken_back():
    with SmallLeader() as leader, RouterServer([leader.url]) as running:
        running.wait_ready(1)
        leader.readyz = None
        running.wait_ready(0)
        assert states(running) == {leader.url: "/readyz says 503"}
        leader.readyz = {"status": "ready"}
        running.wait_ready(1)


def test_a_leader_that_ends_is_dropped_with_what_it_held_and_taken_back():
    leader = SmallLeader(keeps_connections=False)
    with leader, RouterServer([leader.url]) as running:
        running.client.post("/v1/completions", json={"prompt": "x" * 1000})
        assert running.metric("radixloom_router_remembered_blocks") == 3
        leader.__exit__(None, None, None)
        running.wait(lambda: running.metric("radixloom_router_remembered_blocks") == 0)
        assert states(running)[leader.url].startswith("no connection")
        leader.__enter__()
        running.wait_ready(1)


def test_a_follower_of_a_slice_is_no_leader():
    follower = SmallLeader(readyz={"status": "ready", "rank": 1})
    with follower, SmallLeader() as leader, RouterServer([follower.url, leader.url]) as running:
        running.wait_ready(1)
        assert states(running)[follower.url] == "a follower of its slice"


def test_what_a_leader_says_of_its_followers_does_not_make_it_one():
    leader = SmallLeader(readyz={"status": "ready", "followers": {"1": "ready"}})
    with leader, RouterServer([leader.url]) as running:
        running.wait_ready(1)


def test_leaders_behind_a_name_are_found():
    with SmallLeader() as leader, RouterServer(discover=f"127.0.0.1:{leader.port}") as running:
        running.wait_ready(1)
        assert running.client.post("/generate", json={"text": "hi"}).status_code == 200


def test_whoever_is_no_longer_told_is_forgotten():
    with SmallLeader() as leader, RouterServer([leader.url]) as running:
        running.wait_ready(1)
        running.router.fleet.know([])
        assert not running.router.fleet.ready.is_set()
        assert running.router.fleet.leaders == []


def test_an_adapter_is_asked_for_where_it_is_loaded():
    with (
        SmallLeader("one", models=("base",)) as one,
        SmallLeader("other", models=("base", "tuned")) as other,
        RouterServer([one.url, other.url], api_key="secret") as running,
    ):
        running.wait_ready(2)

        def answerer(model: str, number: int) -> str:
            asked = {"model": model, "prompt": f"{number}" * 400}
            return running.client.post("/v1/completions", json=asked, headers=KEY).json()["leader"]

        for model in ("tuned", "base:tuned"):
            assert {answerer(model, number) for number in range(8)} == {"other"}
        assert {answerer("base", number) for number in range(8)} == {"one", "other"}
        assert {answerer("nobody's", number) for number in range(8)} == {"one", "other"}
        one.models = ("base", "tuned")  # loaded meanwhile
        running.wait(lambda: "one" in {answerer("tuned", number) for number in range(8)})
        assert set(one.model_keys) == {"Bearer secret"}


def test_a_leader_whose_keys_change_first_keeps_the_models_that_it_listed():
    with (
        SmallLeader(models=("base", "tuned"), wanted_key="secret") as leader,
        RouterServer([leader.url], api_key="secret") as running,
    ):
        running.wait_ready(1)
        [known] = running.router.fleet.leaders
        leader.wanted_key = "secret-of-tomorrow"
        asked = len(leader.model_keys)
        running.wait(lambda: len(leader.model_keys) > asked + 1)
        assert known.is_ready
        assert known.serves("tuned")


def test_a_leader_that_lists_no_models_gets_requests_all_the_same():
    with SmallLeader(models=()) as leader, RouterServer([leader.url]) as running:
        running.wait_ready(1)
        asked = {"model": "tuned", "prompt": "x"}
        assert running.client.post("/v1/completions", json=asked).status_code == 200


@pytest.mark.parametrize("told", [math.nan, math.inf, "many"])
def test_gauges_that_are_no_numbers_cost_their_leader_its_turn_and_not_the_watch(told):
    with SmallLeader() as leader, RouterServer([leader.url]) as running:
        leader.num_requests = told
        running.wait_ready(0)
        assert "no number" in states(running)[leader.url]
        leader.num_requests = 1
        running.wait_ready(1)
