"""Aborting, pausing and profiling, from HTTP to a real engine with the toy runner."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.http_server import HttpServer
from support.toy_engine import SLOW, SLOW_STEP_SECONDS, toy_engine

MANY = 90


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(toy_engine) as running:
        _generate(running, input_ids=[SLOW], max_new_tokens=1)  # from now on every step is slow
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def _generate(server: HttpServer, *, max_new_tokens: int = MANY, **body: Any) -> httpx.Response:
    params = {"max_new_tokens": max_new_tokens, "ignore_eos": True, "sampling_seed": 7}
    body = {"input_ids": [1, 2], "sampling_params": params} | body
    return server.client.post("/generate", json=body)


def _post(server: HttpServer, path: str, body: Any = None) -> Any:
    answer = server.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_aborted_answer_ends_with_what_there_is(server: HttpServer, pool: ThreadPoolExecutor):
    mine = pool.submit(_generate, server, rid="mine")
    other = pool.submit(_generate, server, rid="other", max_new_tokens=30)
    server.until_running(2)
    assert _post(server, "/abort_request", {"rid": "mine"}) == {"num_aborted": 1}
    found = mine.result().json()
    assert found["meta_info"]["finish_reason"]["type"] == "abort"
    assert 0 < len(found["output_ids"]) < MANY
    assert other.result().json()["meta_info"]["finish_reason"]["type"] == "length"


def test_an_answer_can_be_aborted_by_its_request_id(server: HttpServer, pool: ThreadPoolExecutor):
    body = {"model": "tiny_tokenizer", "prompt": [1, 2], "max_tokens": MANY, "ignore_eos": True}
    asked: Future[httpx.Response] = pool.submit(
        server.client.post, "/v1/completions", json=body, headers={"x-request-id": "abc"}
    )
    server.until_running(1)
    assert _post(server, "/abort_request", {"rid": "abc"}) == {"num_aborted": 1}
    assert asked.result().json()["choices"][0]["finish_reason"] == "abort"


def test_all_can_be_aborted_at_once(server: HttpServer, pool: ThreadPoolExecutor):
    asked = [pool.submit(_generate, server) for _ in range(3)]
    server.until_running(3)
    assert _post(server, "/abort_request", {"rid": "", "abort_all": True}) == {"num_aborted": 3}
    assert {each.result().json()["meta_info"]["finish_reason"]["type"] for each in asked} == {
        "abort"
    }
    server.until_running(0)


def test_who_is_not_there_is_not_aborted(server: HttpServer):
    assert _post(server, "/abort_request", {"rid": "nobody"}) == {"num_aborted": 0}


def test_a_paused_answer_goes_on_where_it_was(server: HttpServer, pool: ThreadPoolExecutor):
    alone = _generate(server, max_new_tokens=20).json()["output_ids"]
    asked = pool.submit(_generate, server, max_new_tokens=20)
    server.until_running(1)
    assert _post(server, "/pause_generation", {"mode": "in_place"}) == {
        "status": "paused",
        "num_aborted": 0,
    }
    not_ready = server.client.get("/readyz")
    assert not_ready.status_code == 503
    assert "paused" in not_ready.json()["reason"]
    time.sleep(20 * SLOW_STEP_SECONDS)  # all the time that it would have taken
    assert not asked.done()
    assert _post(server, "/continue_generation") == {"status": "running"}
    assert asked.result().json()["output_ids"] == alone
    assert server.client.get("/readyz").status_code == 200


def test_by_default_a_pause_aborts_what_runs_and_keeps_what_comes(
    server: HttpServer, pool: ThreadPoolExecutor
):
    running = pool.submit(_generate, server)
    server.until_running(1)
    assert _post(server, "/pause_generation")["num_aborted"] == 1
    assert running.result().json()["meta_info"]["finish_reason"]["type"] == "abort"
    waiting = pool.submit(_generate, server, max_new_tokens=2)
    server.poll("/metrics", lambda _: server.metric("radixloom:num_queue_reqs") == 1)
    assert not waiting.done()
    _post(server, "/continue_generation", {})
    assert len(waiting.result().json()["output_ids"]) == 2


def test_a_paused_server_that_is_told_to_stop_answers_what_waits(pool: ThreadPoolExecutor):
    with HttpServer(toy_engine) as server:
        _post(server, "/pause_generation")
        waiting = pool.submit(_generate, server, max_new_tokens=2)
        server.poll("/metrics", lambda _: server.metric("radixloom:num_queue_reqs") == 1)
        server.stop()
        assert len(waiting.result().json()["output_ids"]) == 2
        assert server.wait_outcome() == 0


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/abort_request", {}, "either rid or abort_all"),
        ("/abort_request", {"rid": "a", "abort_all": True}, "either rid or abort_all"),
        ("/pause_generation", {"mode": "retract"}, "mode"),
        ("/pause_generation", [], "must be a JSON object"),
        ("/start_profile", {"output_dir": "/tmp"}, "unknown parameter: output_dir"),
        ("/start_profile", {"num_steps": 0}, "num_steps"),
        ("/stop_profile", None, "no profile is being recorded"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(server: HttpServer, path, body, message):
    answer = server.client.post(path, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_without_a_folder_no_profile_is_recorded(server: HttpServer):
    answer = server.client.post("/start_profile")
    assert answer.status_code == 400
    assert "--profile-dir" in answer.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_profile_is_written_to_the_servers_folder(tmp_path: Path):
    with HttpServer(toy_engine, profile_dir=tmp_path) as server:
        server.client.timeout = 100
        assert _post(server, "/start_profile", {"host_tracer_level": 1}) == {"status": "recording"}
        _generate(server, max_new_tokens=3)
        assert _post(server, "/stop_profile") == {"status": "written"}
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
