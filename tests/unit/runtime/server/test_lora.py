"""Adapters by HTTP, with a real engine and the toy runner."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from support.http_server import HttpServer
from support.toy_engine import NO_SUCH_MODEL, SLOW, toy_engine

MODEL = "tiny_tokenizer"
LONG = 120
"""Tokens: more than two seconds, where steps are slow."""
ABSENT = {"lora_name": "x", "lora_path": f"/{NO_SUCH_MODEL}"}


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, max_loras=2) as running:
        yield running


def post(server: HttpServer, path: str, **body: Any) -> httpx.Response:
    return server.client.post(path, json=body)


def complete(server: HttpServer, model: str, max_tokens: int = 8) -> httpx.Response:
    body = {"model": model, "prompt": [1, 2], "max_tokens": max_tokens, "ignore_eos": True}
    return post(server, "/v1/completions", **body, seed=1)


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def models_of(server: HttpServer) -> dict[str, str | None]:
    return {
        each["id"]: each.get("parent") for each in server.client.get("/v1/models").json()["data"]
    }


def test_an_adapter_is_loaded_asked_for_and_unloaded(server: HttpServer):
    assert complete(server, "mine").status_code == 404
    loaded = post(server, "/v1/load_lora_adapter", lora_name="mine", lora_path="/adapters/mine")
    assert loaded.json() == {"success": True, "loaded_adapters": ["mine"]}
    assert models_of(server) == {MODEL: None, "mine": MODEL}
    assert server.client.get("/v1/models/mine").json()["parent"] == MODEL
    plain, changed = text_of(complete(server, MODEL)), text_of(complete(server, "mine"))
    assert changed != plain
    assert text_of(complete(server, f"{MODEL}:mine")) == changed
    params = {"max_new_tokens": 8, "ignore_eos": True, "sampling_seed": 1}
    native = post(server, "/generate", input_ids=[1, 2], lora_path="mine", sampling_params=params)
    assert native.json()["text"] == changed
    assert post(server, "/unload_lora_adapter", lora_name="mine").json()["success"] is True
    assert complete(server, "mine").status_code == 404
    unknown = post(server, "/generate", input_ids=[1], lora_path="mine")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "lora_path")


def test_requests_that_run_end_with_the_adapter_that_they_began_with(server: HttpServer):
    for name in ("a", "b"):
        post(server, "/load_lora_adapter", lora_name=name, lora_path=f"/{name}")
    alone = text_of(complete(server, "a", LONG))
    post(server, "/generate", input_ids=[SLOW], sampling_params={"max_new_tokens": 1})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(complete, server, "a", LONG)
        server.until_running(1)
        post(server, "/pause_generation", mode="in_place")  # else it may end before what follows
        post(server, "/unload_lora_adapter", lora_name="a")
        full = post(server, "/load_lora_adapter", lora_name="c", lora_path="/c")
        assert full.status_code == 400
        assert "still run" in full.json()["error"]["message"]
        post(server, "/continue_generation")
        assert text_of(running.result()) == alone
    assert post(server, "/load_lora_adapter", lora_name="c", lora_path="/c").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (
            "/load_lora_adapter",
            {"lora_name": "x", "lora_path": f"/{NO_SUCH_MODEL}"},
            400,
            "no such",
        ),
        ("/load_lora_adapter", {"lora_name": MODEL, "lora_path": "/x"}, 400, "own name"),
        ("/load_lora_adapter", {"lora_name": "a:b", "lora_path": "/x"}, 400, "lora_name"),
        ("/load_lora_adapter", {"lora_name": "x"}, 400, "lora_path"),
        ("/unload_lora_adapter", {"lora_name": "x"}, 404, "no adapter 'x' is loaded"),
    ],
)
def test_what_cannot_be_done_is_refused(server: HttpServer, path, body, status, message):
    answer = post(server, path, **body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert models_of(server) == {MODEL: None}
