import threading
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from support.router_server import RouterServer
from support.small_leader import SmallLeader

CHAT = "/v1/chat/completions"
HELD = "radixloom_router_held_requests"
ASKED = {"messages": [{"role": "user", "content": "hi"}]}


def post(running: RouterServer) -> httpx.Response:
    return httpx.post(f"{running.url}{CHAT}", json=ASKED, timeout=20)


def test_requests_wait_for_the_first_leader():
    with (
        SmallLeader(readyz=None) as leader,
        RouterServer([leader.url]) as running,
        ThreadPoolExecutor(3) as pool,
    ):
        answers = [pool.submit(post, running) for _ in range(3)]
        running.wait(lambda: running.metric(HELD) == 3)
        leader.readyz = {"status": "ready"}
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert running.metric(HELD) == 0
        assert running.metric("radixloom_router_hold_seconds_count") == 3


def test_a_request_that_finds_its_only_leader_draining_waits_for_its_return():
    with SmallLeader(mode="starting") as leader, RouterServer([leader.url]) as running:
        running.wait_ready(1)
        threading.Timer(0.3, lambda: setattr(leader, "mode", "echo")).start()
        assert post(running).status_code == 200
        assert running.metric("radixloom_router_retries_total") >= 1


def test_who_waits_too_long_is_told_to_come_again():
    with (
        SmallLeader(readyz=None) as leader,
        RouterServer([leader.url], hold_seconds=0.1) as running,
    ):
        answer = post(running)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("service_unavailable_error", "no_replica_ready")
        assert "within 0.1 s" in error["message"]


def test_the_waiting_room_is_bounded():
    with (
        SmallLeader(readyz=None) as leader,
        RouterServer([leader.url], hold_requests=1) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        held: Future[httpx.Response] = pool.submit(post, running)
        running.wait(lambda: running.metric(HELD) == 1)
        assert post(running).status_code == 503
        leader.readyz = {"status": "ready"}
        assert held.result().status_code == 200


def test_a_list_of_models_does_not_wait():
    with SmallLeader(readyz=None) as leader, RouterServer([leader.url]) as running:
        assert running.client.get("/v1/models").status_code == 503
        assert running.metric("radixloom_router_hold_seconds_count") == 0


def test_who_waits_is_sent_away_when_the_router_ends():
    with (
        SmallLeader(readyz=None) as leader,
        RouterServer([leader.url]) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        held: Future[httpx.Response] = pool.submit(post, running)
        running.wait(lambda: running.metric(HELD) == 1)
        running.stop()
        assert held.result().status_code == 503
        assert running.wait_outcome() == 0


def test_a_held_request_is_told_as_activity_and_a_look_at_the_models_is_not():
    idle = "radixloom_router_idle_seconds"
    with (
        SmallLeader(readyz=None) as leader,
        RouterServer([leader.url]) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(post, running)
        running.wait(lambda: running.metric(HELD) == 1)
        assert running.metric(idle) == 0
        leader.readyz = {"status": "ready"}
        assert answer.result().status_code == 200
        running.wait(lambda: running.metric(idle) > 0)
        before = running.metric(idle)
        running.client.get("/v1/models")
        assert running.metric(idle) > before
