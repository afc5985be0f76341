"""The prefix cache by hand, from HTTP to a real engine with the toy runner."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from support.http_server import HttpServer, echo_engine
from support.ready import ready
from support.tiny import FOLDER
from support.toy_engine import SLOW, toy_engine

from radixloom_runtime.server import catalog, chat
from radixloom_runtime.server.cache_control import PinRequest, prompt_ids_of
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.schema_chat import ChatRequest

PROMPT = [index % 50 for index in range(32)]


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, kv_cache_tokens=256, pinned_share=0.25) as running:
        yield running


def _cached(server: HttpServer) -> int:
    body = {"model": "tiny_tokenizer", "prompt": [*PROMPT, 7], "max_tokens": 1}
    answer = server.client.post("/v1/completions", json=body).json()
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_the_cache_is_flushed(server: HttpServer):
    server.client.post("/flush_cache")
    assert (_cached(server), _cached(server)) == (0, 32)
    answer = server.client.post("/flush_cache")
    assert (answer.status_code, answer.json()) == (200, {"flushed_tokens": 32})
    assert _cached(server) == 0


def test_a_pinned_prefix_outlives_a_flush_until_it_is_unpinned(server: HttpServer):
    pinned = server.client.post("/pin_prefix", json={"prompt": PROMPT}).json()
    assert pinned["pinned_tokens"] == 32
    server.poll("/metrics", lambda _: server.metric('radixloom_kv_tokens{state="pinned"}') == 32)
    server.client.post("/flush_cache")
    assert _cached(server) == 32
    unpinned = server.client.post("/unpin_prefix", json={"id": pinned["id"]})
    assert unpinned.json() == {"unpinned_tokens": 32}
    server.client.post("/flush_cache")
    assert _cached(server) == 0


def test_two_who_unpin_one_prefix_at_once_are_both_answered(server: HttpServer):
    body = {"model": "tiny_tokenizer", "prompt": [SLOW], "max_tokens": 30, "ignore_eos": True}
    pin = server.client.post("/pin_prefix", json={"prompt": PROMPT}).json()
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(server.client.post, "/v1/completions", json=body)
        server.until_running(1)
        unpin = partial(server.client.post, "/unpin_prefix", json={"id": pin["id"]})
        answers = [each.result() for each in [pool.submit(unpin), pool.submit(unpin)]]
        assert busy.result().status_code == 200
    assert sorted(answer.status_code for answer in answers) == [200, 404]


def test_a_pin_that_is_not_served_in_time_is_a_408(server: HttpServer):
    body = {"model": "tiny_tokenizer", "prompt": [SLOW], "max_tokens": 30, "ignore_eos": True}
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.client.post, "/v1/completions", json=body)
        server.until_running(1)
        answer = server.client.post("/pin_prefix", json={"prompt": PROMPT, "timeout": 0.001})
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "request_timeout")
        assert busy.result().status_code == 200
    server.poll("/metrics", lambda _: server.metric('radixloom_kv_tokens{state="pinned"}') == 0)


def test_pinned_messages_are_a_prefix_of_the_prompts_that_begin_with_them():
    serving = Serving(catalog.load(FOLDER, "tiny"), ready(max_model_len=200))
    system = {"role": "system", "content": "to be or not to be"}
    pinned = prompt_ids_of(PinRequest.model_validate({"messages": [system]}), serving)
    messages = [system, {"role": "user", "content": "hello"}]
    request = ChatRequest.model_validate({"model": "tiny", "messages": messages})
    prompt = chat.make_order(request, serving).prompts[0].ids
    assert len(pinned) > 4
    assert prompt[: len(pinned)] == pinned


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_value"),
        ({"prompt": [1], "messages": [{"role": "user", "content": "a"}]}, 400, "invalid_value"),
        ({"prompt": [1, 2]}, 400, "cannot_pin"),
        ({"prompt": PROMPT * 3}, 400, "cannot_pin"),
        ({"prompt": []}, 400, None),
        ({"prompt": [1], "more": 1}, 400, "unknown_parameter"),
    ],
)
def test_what_cannot_be_pinned_is_told_in_openais_form(server: HttpServer, body, status, code):
    answer = server.client.post("/pin_prefix", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_unknown_pin_is_a_404(server: HttpServer):
    answer = server.client.post("/unpin_prefix", json={"id": "pin-0"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "pin_not_found")


def test_a_follower_of_a_slice_has_no_cache_to_keep_by_hand():
    slice_of_two = {"num_hosts": 2, "leader_address": "127.0.0.1", "wire_secret": "x" * 16}
    with HttpServer(echo_engine(), rank=1, **slice_of_two) as follower:
        for path in ("/flush_cache", "/pin_prefix", "/unpin_prefix", "/v1/completions"):
            assert follower.client.post(path, json={}).status_code == 404
