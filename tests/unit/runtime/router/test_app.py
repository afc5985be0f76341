import contextlib
import http.client
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.router_server import RouterServer
from support.small_leader import SmallLeader

from radixloom_runtime.router.app import LEADERS_OWN

CHAT = "/v1/chat/completions"
Pair = tuple[SmallLeader, SmallLeader]


def asked(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def router(*leaders: SmallLeader, **settings: Any) -> RouterServer:
    return RouterServer([leader.url for leader in leaders], **settings)


def posts(leader: SmallLeader) -> int:
    return sum(seen.method == "POST" for seen in leader.seen)


def test_a_request_reaches_a_leader_as_it_was_sent(leaders: Pair):
    body = b'{"messages": [ ],   "odd": "\\u00e9"}'
    headers = {"authorization": "Bearer k", "x-request-id": "mine", "x-other": "kept"}
    # a trace goes on where the leader answers
    headers |= {"traceparent": f"00-{'4' * 32}-{'2' * 16}-01", "tracestate": "a=b"}
    with router(*leaders) as running:
        answer = running.client.post(f"{CHAT}?a=%2Fb&c", content=body, headers=headers)
    [seen] = [*leaders[0].seen, *leaders[1].seen]
    assert (seen.method, seen.target, seen.body) == ("POST", f"{CHAT}?a=%2Fb&c", body)
    assert headers.items() <= seen.headers.items()
    assert answer.json()["body"] == body.decode()
    assert answer.headers["x-request-id"] == "mine"
    assert len(answer.headers.get_list("date")) == 1


def test_paths_that_the_router_does_not_know_are_the_leaders_affair(leaders: Pair):
    with router(*leaders) as running:
        assert running.client.get("/v1/models").json()["leader"] in {"one", "other"}
        assert running.client.get("/v1/models/a%2Fb").status_code == 200
    targets = {seen.target for leader in leaders for seen in leader.seen}
    assert targets == {"/v1/models", "/v1/models/a%2Fb"}


def test_a_request_without_an_id_gets_one(leaders: Pair):
    with router(*leaders) as running:
        answer = running.client.post(CHAT, json=asked(), headers={"x-request-id": "no good"})
    [seen] = [*leaders[0].seen, *leaders[1].seen]
    assert answer.headers["x-request-id"] == seen.headers["x-request-id"] != "no good"


def test_turns_of_a_conversation_stay_where_they_began(leaders: Pair):
    with router(*leaders) as running:
        for conversation in range(20):
            messages = [{"role": "user", "content": f"question {conversation}"}]
            names = set()
            for turn in range(3):
                answer = running.client.post(CHAT, json={"messages": messages})
                names.add(answer.json()["leader"])
                messages += [{"role": "assistant", "content": f"{turn}"}]
            assert len(names) == 1
    assert all(posts(leader) for leader in leaders)


def test_a_stream_passes_chunk_by_chunk(leaders: Pair):
    one, _ = leaders
    one.mode = "stream"
    with (
        router(one) as running,
        running.client.stream("POST", CHAT, json=asked()) as answer,
    ):
        pieces = answer.iter_raw()
        for number in range(5):
            one.tick(b"data: %d\n\n" % number)
            assert next(pieces) == b"data: %d\n\n" % number
        one.finish()
        assert list(pieces) == []
        assert answer.headers["content-type"] == "text/event-stream"


def test_a_client_that_leaves_a_stream_leaves_its_leader(leaders: Pair):
    one, _ = leaders
    one.mode = "stream"
    with router(one) as running:
        with running.client.stream("POST", CHAT, json=asked()) as answer:
            one.tick(b"1")
            assert next(answer.iter_raw()) == b"1"
        running.wait(lambda: one.tick(b"2") or one.left.wait(0.05))
        running.wait(lambda: running.metric("radixloom_router_running_requests") == 0)
        assert running.metric("radixloom_router_cut_off_answers_total") == 0


def test_a_client_that_leaves_before_the_answer_is_counted_as_gone(leaders: Pair):
    leaders[0].readyz = None
    with router(leaders[0]) as running:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}{CHAT}", json=asked(), timeout=0.2)
        running.wait(lambda: running.metric("radixloom_router_held_requests") == 0)
        sample = f'radixloom_router_requests_total{{endpoint="{CHAT}",status="499"}}'
        running.wait(lambda: running.metric(sample) == 1)


def test_an_answer_that_breaks_off_is_cut_and_not_tried_again(leaders: Pair):
    for leader in leaders:
        leader.mode = "cut"
    with router(*leaders) as running:
        with running.client.stream("POST", CHAT, json=asked()) as answer:
            assert answer.status_code == 200
            received: list[bytes] = []
            with pytest.raises(httpx.RemoteProtocolError):
                received.extend(answer.iter_raw())
        assert b"".join(received) == b"data: 1\n\ndata: 2\n\n"
        assert posts(leaders[0]) + posts(leaders[1]) == 1
        assert running.metric("radixloom_router_cut_off_answers_total") == 1


@pytest.mark.parametrize("mode", ["starting", "broken"])
def test_another_leader_is_tried_before_an_answer_began(leaders: Pair, mode: str):
    one, other = leaders
    one.mode = mode
    # With one leader's poll long away, only its failure can tell.
    with router(*leaders, poll_seconds=30) as running:
        running.wait_ready(2)
        for number in range(40):
            answer = running.client.post(CHAT, json=asked(f"{number}"))
            assert answer.json()["leader"] == "other"
        assert posts(one) == 1
        assert running.metric("radixloom_router_retries_total") == 1
    assert posts(other) == 40


def test_a_leader_that_is_not_there_is_passed_over(leaders: Pair):
    gone = SmallLeader("gone", keeps_connections=False)
    with contextlib.ExitStack() as stack:
        with gone:
            running = stack.enter_context(router(gone, *leaders, poll_seconds=30))
            running.wait_ready(3)
        for number in range(60):
            answer = running.client.post(CHAT, json=asked(f"{number}"))
            assert answer.json()["leader"] in {"one", "other"}
        assert running.metric('radixloom_router_retries_total{cause="unreachable"}') == 1


def test_a_request_that_breaks_two_leaders_meets_no_third(leaders: Pair):
    with SmallLeader("third") as third:
        for leader in (*leaders, third):
            leader.mode = "broken"
        with router(*leaders, third, poll_seconds=30) as running:
            running.wait_ready(3)
            answer = running.client.post(CHAT, json=asked())
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "leader_lost"
        assert sum(map(posts, (*leaders, third))) == 2


def test_a_full_leader_is_not_passed_over(leaders: Pair):
    for leader in leaders:
        leader.mode = "busy"
    with router(*leaders) as running:
        answer = running.client.post(CHAT, json=asked())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json() == {"error": {"code": "queue_full"}}
    assert posts(leaders[0]) + posts(leaders[1]) == 1


def test_commands_to_one_process_are_refused(leaders: Pair):
    with router(*leaders) as running:
        for path in LEADERS_OWN:
            answer = running.client.post(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_routed")
    assert posts(leaders[0]) + posts(leaders[1]) == 0


def test_a_large_body_is_refused_in_openais_form(leaders: Pair):
    with router(*leaders, max_body_bytes=200) as running:
        answer = running.client.post(CHAT, json=asked("x" * 300))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_anthropics_clients_are_refused_in_their_own_form(leaders: Pair):
    with router(*leaders, max_body_bytes=200) as running:
        answer = running.client.post("/v1/messages", json=asked("x" * 300))
    assert (answer.status_code, answer.json()["type"]) == (413, "error")
    assert answer.json()["error"]["type"] == "request_too_large"


def test_a_long_prompt_passes_whole(leaders: Pair):
    text = "river " * 200_000
    with router(*leaders) as running:
        answer = running.client.post(CHAT, json=asked(text))
        assert json.loads(answer.json()["body"]) == asked(text)
        assert running.metric("radixloom_router_prompt_blocks_total") == 4096


def test_without_one_of_its_keys_nobody_passes(leaders: Pair, tmp_path: Path):
    (tmp_path / "keys").write_text("sk-one\nsk-two\n")
    with router(*leaders, api_key_file=tmp_path / "keys", requests_per_minute=2) as running:
        assert running.client.post(CHAT, json=asked()).status_code == 401
        assert running.client.get("/v1/models").status_code == 401
        for path in ("/healthz", "/readyz", "/metrics", "/version"):
            assert running.client.get(path).status_code == 200
        for key in ("sk-one", "sk-two"):
            headers = {"authorization": f"Bearer {key}"}
            answers = [running.client.post(CHAT, json=asked(), headers=headers) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
            assert 1 <= int(answers[2].headers["retry-after"]) <= 30
            assert running.client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/console/app.js"])
def test_a_post_to_the_page_needs_a_key_so_that_it_waits_for_no_replica(tmp_path: Path, path: str):
    (tmp_path / "keys").write_text("sk-one\n")
    with RouterServer(["http://127.0.0.1:1"], api_key_file=tmp_path / "keys") as running:
        assert running.client.post(path).status_code == 401
        assert running.client.get(path).status_code == 503


def test_a_host_header_does_not_pass_for_an_open_path(leaders: Pair, tmp_path: Path):
    (tmp_path / "keys").write_text("sk-one\n")
    with router(*leaders, api_key_file=tmp_path / "keys") as running:
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/v1/models", headers={"host": "x/metrics?"})
        assert connection.getresponse().status == 401
        connection.close()


def test_each_request_is_one_line_of_the_log_and_a_probe_none(
    leaders: Pair, capfd: pytest.CaptureFixture[str]
):
    with router(*leaders) as running:
        running.client.post(CHAT, json=asked(), headers={"x-request-id": "told"})
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if "request." in line]
    [line] = lines
    for part in ("request.finished", "told", CHAT, "status=200", "end=complete", "attempts=1"):
        assert part in line


def test_what_a_leader_does_is_its_load(leaders: Pair):
    one, _ = leaders
    one.num_requests = 40
    with router(*leaders) as running:
        running.wait(lambda: any(leader.load == 40 for leader in running.router.fleet.leaders))
        for number in range(10):
            answer = running.client.post(CHAT, json=asked(f"{number}"))
            assert answer.json()["leader"] == "other"
    assert posts(one) == 0


def test_leaders_are_told_apart_by_what_they_were_sent(leaders: Pair):
    with router(*leaders) as running:
        for number in range(4):
            running.client.post(CHAT, json=asked(f"{number}" + "x" * 1000))
            running.client.post(CHAT, json=asked(f"{number}" + "x" * 1000))
        assert running.metric("radixloom_router_prompt_blocks_total") == 8 * 4
        assert running.metric("radixloom_router_matched_blocks_total") == 4 * 4


def test_requests_take_turns_when_the_policy_says_so(leaders: Pair):
    with router(*leaders, policy="round-robin") as running:
        running.wait_ready(2)
        for _ in range(8):
            running.client.post(CHAT, json=asked())
    assert [posts(leader) for leader in leaders] == [4, 4]


def test_running_requests_may_end_after_the_signal(leaders: Pair):
    one, _ = leaders
    one.mode = "stream"
    with router(one) as running:
        with running.client.stream("POST", CHAT, json=asked()) as answer:
            one.tick(b"1")
            pieces = answer.iter_raw()
            assert next(pieces) == b"1"
            running.stop()
            threading.Timer(0.2, lambda: (one.tick(b"2"), one.finish())).start()
            assert b"".join(pieces) == b"2"
        assert running.wait_outcome() == 0
