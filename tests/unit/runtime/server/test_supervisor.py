"""From start to end, with an engine process that the test chooses."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.echo_engine import POISON_ID
from support.http_server import HttpServer, echo_engine
from support.toy_engine import HANGING, toy_engine

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.server import supervisor

MODEL = "tiny_tokenizer"
LONG = {"model": MODEL, "prompt": [5, 8], "max_tokens": 100, "ignore_eos": True}
SLOW_STEPS = echo_engine("--step-seconds", "0.02")
"""100 tokens take at least two seconds."""


@contextmanager
def _streaming(server: HttpServer) -> Iterator[Iterator[str]]:
    """A long stream, after its first line."""
    with server.client.stream("POST", "/v1/completions", json=LONG | {"stream": True}) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        next(lines)
        yield lines


def _in_thread(work: Callable[[], httpx.Response]) -> Callable[[], httpx.Response]:
    """Start `work`; what is returned waits for its answer."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()

    def wait() -> httpx.Response:
        thread.join(20)
        return answers[0]

    return wait


def test_while_starting_the_server_tells_how_far_it_is():
    with HttpServer(echo_engine("--start-seconds", "30"), wait=False) as server:
        progress = server.poll("/startupz", lambda response: "weights" in response.text)
        assert progress.status_code == 503
        assert progress.json() == {
            "status": "starting",
            "phase": "weights",
            "done": 3e8,
            "total": 6e8,
            "unit": "bytes",
            "seconds": 1.5,
        }
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/readyz").json()["reason"] == "starting: weights"
        refused = server.client.post("/v1/completions", json=LONG)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "starting"
        assert int(refused.headers["retry-after"]) > 0
        assert server.client.get("/v1/models").status_code == 503


def test_a_server_told_to_stop_while_starting_ends_at_once():
    with HttpServer(echo_engine("--start-seconds", "30"), wait=False) as server:
        server.poll("/startupz", lambda response: "weights" in response.text)
        begin = time.monotonic()
        server.stop()
        assert server.wait_outcome() == 0
        assert time.monotonic() - begin < 5


def test_running_requests_finish_while_new_ones_are_refused():
    with HttpServer(SLOW_STEPS) as server, _streaming(server) as lines:
        server.stop()
        server.poll("/readyz", lambda response: response.text.count("shutting down") == 1)
        refused = server.client.post("/v1/completions", json=LONG)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert "retry-after" in refused.headers
        assert server.client.get("/healthz").status_code == 200
        told = [line for line in lines if line]
        assert '"finish_reason":"length"' in told[-2]
        assert told[-1] == "data: [DONE]"
        assert server.wait_outcome() == 0


def test_a_drain_that_lasts_too_long_is_cut_short():
    with HttpServer(SLOW_STEPS, drain_seconds=0.2) as server, _streaming(server) as lines:
        server.stop()
        told = [line for line in lines if line]
        assert '"code":"engine_lost"' in told[-1]
        assert "the server was told to stop" in told[-1]
        assert server.wait_outcome() == 0


def test_a_second_signal_stops_at_once():
    with HttpServer(SLOW_STEPS) as server, _streaming(server):
        begin = time.monotonic()
        server.stop()
        server.stop()
        assert server.wait_outcome() == 0
        assert time.monotonic() - begin < 3


def test_the_engines_death_fails_requests_health_and_the_process():
    with HttpServer(SLOW_STEPS) as server, _streaming(server) as lines:
        waiting = _in_thread(
            lambda: httpx.post(f"{server.url}/v1/completions", json=LONG, timeout=20)
        )
        server.poll("/metrics", lambda response: "radixloom:num_running_reqs 2.0" in response.text)
        killer = _in_thread(
            lambda: httpx.post(
                f"{server.url}/v1/completions", json=LONG | {"prompt": [POISON_ID]}, timeout=20
            )
        )
        health = server.poll("/healthz", lambda response: response.status_code == 503)
        assert health.json() == {"status": "failed", "reason": "the device is on fire"}
        told = [line for line in lines if line]
        assert '"code":"engine_lost"' in told[-1]
        assert "[DONE]" not in "".join(told)
        for answer in (waiting(), killer()):
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "engine_lost"
        assert server.wait_outcome() == 1


def test_an_engine_that_finds_a_bad_configuration_says_why_in_one_line():
    with HttpServer(echo_engine("--fail", "2"), wait=False) as server:
        outcome = server.wait_outcome()
        assert isinstance(outcome, ConfigurationError)
        assert str(outcome) == "wanted 4 GiB for weights, found 2 GiB"


def test_an_engine_that_fails_otherwise_is_exit_code_1():
    with HttpServer(echo_engine("--fail", "3"), wait=False) as server:
        assert server.wait_outcome() == 1


def _engine_pid() -> int:
    """The only child of this process that runs a toy engine."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            if b"support.toy_engine" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise AssertionError("no toy engine runs")


@pytest.mark.slow
def test_an_engine_that_stands_still_as_a_whole_is_killed_and_its_requests_are_told(monkeypatch):
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.6)
    with HttpServer(toy_engine) as server:
        os.kill(_engine_pid(), signal.SIGSTOP)
        answer = server.client.post("/v1/completions", json=LONG)
        assert answer.status_code == 500
        assert "the engine's process stood still for" in answer.json()["error"]["message"]
        assert server.client.get("/healthz").status_code == 503
        assert server.wait_outcome() == 1


@pytest.mark.slow
def test_an_engine_is_left_alone_while_its_step_takes_long(monkeypatch):
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.6)
    monkeypatch.setenv("TOY_STEP_LIMIT_SECONDS", "100")
    with HttpServer(toy_engine) as server:
        with pytest.raises(httpx.ReadTimeout):
            server.client.post("/v1/completions", json=LONG | {"prompt": [HANGING]}, timeout=1.8)
        assert server.client.get("/healthz").status_code == 200


def _assert_the_engine_is_free(server: HttpServer) -> None:
    server.poll("/metrics", lambda response: 'finished_total{reason="abort"} 1' in response.text)
    server.poll("/metrics", lambda response: "radixloom:num_running_reqs 0.0" in response.text)
    assert 0 < server.metric("radixloom_generated_tokens_total") < 100


def test_a_client_that_leaves_its_stream_frees_its_place():
    with HttpServer(SLOW_STEPS) as server:
        with _streaming(server):
            pass  # leaving closes the connection
        _assert_the_engine_is_free(server)


def test_a_client_that_stops_waiting_frees_its_place():
    with HttpServer(SLOW_STEPS) as server:
        with pytest.raises(httpx.ReadTimeout):
            server.client.post("/v1/completions", json=LONG, timeout=0.3)
        _assert_the_engine_is_free(server)
