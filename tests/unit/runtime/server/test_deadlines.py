"""Requests that take too long, and users, from HTTP to a real engine with the toy runner."""

import json
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from support.http_server import HttpServer
from support.toy_engine import SLOW, toy_engine

from radixloom_runtime.server.caller import user_of


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    """Every step takes 20 ms once a prompt begins with SLOW."""
    with HttpServer(toy_engine, kv_cache_tokens=2048, request_timeout=0.3) as running:
        yield running


BODY = {"model": "tiny_tokenizer", "prompt": [SLOW, 2, 3], "max_tokens": 100, "ignore_eos": True}


def test_an_answer_that_takes_too_long_is_a_408_in_openais_form(server: HttpServer):
    answer = server.client.post("/v1/completions", json=BODY | {"timeout": 0.1})
    assert answer.status_code == 408
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "timeout_error",
        "request_timeout",
        "timeout",
    )
    assert "not complete after 0.1 s" in error["message"]
    assert answer.headers["x-should-retry"] == "false"


def test_a_stream_that_takes_too_long_ends_with_an_error_event_after_its_tokens(
    server: HttpServer,
):
    body = BODY | {"timeout": 0.2, "stream": True}
    with server.client.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200
        events = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert json.loads(events[-1])["error"]["code"] == "request_timeout"
    assert any("choices" in json.loads(event) for event in events[:-1])


def test_a_request_that_names_no_timeout_has_the_servers(server: HttpServer):
    answer = server.client.post("/v1/completions", json=BODY)
    assert answer.status_code == 408
    assert "after 0.3 s" in answer.json()["error"]["message"]


def test_a_request_in_time_is_answered_and_the_late_ones_are_counted(server: HttpServer):
    server.client.post("/v1/completions", json=BODY | {"timeout": 0.05})
    answer = server.client.post("/v1/completions", json=BODY | {"timeout": 30, "max_tokens": 3})
    assert answer.status_code == 200
    server.poll("/metrics", lambda _: server.metric("radixloom_requests_timed_out_total") >= 1)
    assert server.metric('radixloom_choices_finished_total{reason="deadline"}') >= 1
    assert server.metric('radixloom_choices_finished_total{reason="abort"}') == 0
    server.poll("/metrics", lambda _: server.metric("radixloom:num_running_reqs") == 0)


def test_a_timeout_must_be_positive(server: HttpServer):
    answer = server.client.post("/v1/completions", json=BODY | {"timeout": 0})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "timeout"


def _request(authorization: str | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


def test_a_request_counts_for_its_user_else_for_its_key_else_for_nobody():
    assert user_of(_request("Bearer secret"), "alice") == "user:alice"
    by_key = user_of(_request("Bearer secret"), None)
    assert by_key.startswith("key:")
    assert "secret" not in by_key
    assert user_of(_request("bearer  secret"), None) == by_key
    assert user_of(_request("Bearer other"), None) != by_key
    assert user_of(_request(None), None) == ""
