"""Updating weights, from HTTP to a real engine with the toy runner."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from support.http_server import HttpServer
from support.toy_engine import NO_SUCH_MODEL, SLOW, toy_engine


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(toy_engine) as running:
        yield running


def generate(server: HttpServer, ids: list[int], max_new_tokens: int) -> httpx.Response:
    params = {"max_new_tokens": max_new_tokens, "ignore_eos": True, "sampling_seed": 7}
    return server.client.post("/generate", json={"input_ids": ids, "sampling_params": params})


def update(server: HttpServer, **body: Any) -> httpx.Response:
    return server.client.post("/update_weights_from_disk", json=body)


def test_updated_weights_are_told(server: HttpServer):
    answer = update(server, model_path="/models/next")
    assert answer.status_code == 200
    assert answer.json()["success"] is True


def test_running_answers_are_ended_only_when_that_is_asked_for(server: HttpServer):
    generate(server, [SLOW], 1)  # from now on every step is slow
    for ends in (False, True):
        with ThreadPoolExecutor(1) as pool:
            wanted = 120 if ends else 60
            asked = pool.submit(generate, server, [1, 2], wanted)
            server.until_running(1)
            assert update(server, model_path="/m", abort_all_requests=ends).status_code == 200
            found = asked.result().json()
        assert found["meta_info"]["finish_reason"]["type"] == ("abort" if ends else "length")
        assert (len(found["output_ids"]) < wanted) is ends


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model_path": f"/m/{NO_SUCH_MODEL}"}, "found no such folder"),
        ({}, "model_path"),
        ({"model_path": "/m", "load_format": "dummy"}, "load_format"),
        ({"model_path": "/m", "manifest": {}}, "unknown parameter: manifest"),
    ],
)
def test_what_cannot_be_loaded_is_refused(server: HttpServer, body: Any, message: str):
    answer = update(server, **body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
