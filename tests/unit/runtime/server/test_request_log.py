"""The log's line of each request, and the id that leads to it."""

from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from support.http_server import HttpServer

from radixloom_runtime.server.app import ENDPOINTS

MODEL = "tiny_tokenizer"
BODY = {"model": MODEL, "prompt": ["a b c", "d"], "max_tokens": 2, "n": 2}
COMPLETIONS = "/v1/completions"
ASKS_THE_ENGINE = {"/get_prefix_tree"}
"""What the echo engine does not answer."""


def line_of(server: HttpServer, event: str, **more: Any) -> Mapping[str, Any]:
    """The one line that a request leaves under its id."""
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as lines:
        server.client.post(COMPLETIONS, json=BODY | more, headers={"x-request-id": event})
    [line] = [each for each in lines if each.get("request_id") == event]
    return line


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_request_tells_tokens_reason_and_times(server: HttpServer, stream: bool):
    line = dict(line_of(server, "request.finished", stream=stream))
    times = [line.pop(name) for name in ("queue_seconds", "ttft_seconds", "total_seconds")]
    assert times == sorted(times)
    assert line == {
        "event": "request.finished",
        "log_level": "info",
        "request_id": "request.finished",
        "endpoint": COMPLETIONS,
        "choices": 4,
        "prompt_tokens": 4,
        "cached_tokens": 0,
        "output_tokens": 8,
        "finish_reason": "length",
    }


def test_a_refused_request_tells_status_and_parameter_but_no_words_of_it(server: HttpServer):
    line = line_of(server, "request.refused", max_tokens="many secrets")
    assert (line["event"], line["status"], line["param"]) == ("request.refused", 400, "max_tokens")
    assert "secrets" not in str(line)


@pytest.mark.parametrize("path", sorted(ENDPOINTS - ASKS_THE_ENGINE))
def test_every_answer_has_the_id_that_its_request_came_with(server: HttpServer, path: str):
    answer = server.client.get(path, headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
