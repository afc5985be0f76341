"""The HTTP process before a real engine process: its loop and scheduler, with the toy runner."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.http_server import HttpServer
from support.toy_engine import toy_engine
from support.toy_runner import expected_tokens

from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import Limits

PREFIX = [index % 50 for index in range(64)]
"""Shared by all prompts; 16 of the toy's pages."""
NUM_STREAMS = 64
LIMITS = Limits(num_pages=0, page_tokens=4, max_rows=0, step_tokens=0, max_model_len=128)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(
        toy_engine, kv_cache_tokens=2048, max_running_requests=16, max_queued_requests=64
    ) as running:
        yield running


def _body(index: int, **more: Any) -> dict[str, Any]:
    prompt = [*PREFIX, index % 50, index // 50]
    settings = {"model": "tiny_tokenizer", "max_tokens": 8, "ignore_eos": True, "seed": index}
    return settings | {"prompt": prompt, "return_token_ids": True} | more


def _expected(index: int) -> list[int]:
    submit = Submit(
        request_id="",
        prompt_ids=_body(index)["prompt"],
        max_tokens=8,
        sampling=Sampling(seed=index),
    )
    return expected_tokens(submit, LIMITS)[0]


def _stream(server: HttpServer, index: int) -> list[int]:
    ids: list[int] = []
    body = _body(index, stream=True)
    with server.client.stream("POST", "/v1/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                ids += json.loads(line.removeprefix("data: "))["choices"][0]["token_ids"]
    return ids


def test_many_streams_at_once_get_the_answers_they_would_get_alone(server: HttpServer):
    alone = [_expected(index) for index in range(NUM_STREAMS)]
    assert _stream(server, 0) == alone[0]
    with ThreadPoolExecutor(NUM_STREAMS) as pool:
        together = list(pool.map(lambda index: _stream(server, index), range(NUM_STREAMS)))
    assert together == alone
    server.poll("/metrics", lambda _: server.metric("radixloom_prefix_hit_ratio") > 0.85)
    assert server.metric("radixloom_compiles_after_warmup_total") == 0


def test_the_same_prompt_again_is_cached(server: HttpServer):
    first = server.client.post("/v1/completions", json=_body(7)).json()
    again = server.client.post("/v1/completions", json=_body(7)).json()
    assert again["choices"] == first["choices"]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 64


def test_all_choices_of_a_seeded_prompt_are_reproducible(server: HttpServer):
    several = server.client.post("/v1/completions", json=_body(3, n=3)).json()["choices"]
    alone = [
        server.client.post("/v1/completions", json=_body(3, seed=seed)).json()["choices"][0]
        for seed in (3, 4, 5)
    ]
    assert [choice["token_ids"] for choice in several] == [choice["token_ids"] for choice in alone]


def test_more_than_the_queue_holds_is_refused_as_a_whole(server: HttpServer):
    refused = server.client.post("/v1/completions", json=_body(1, n=128, max_tokens=40))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    server.poll("/metrics", lambda _: server.metric("radixloom:num_running_reqs") == 0)
    assert server.metric("radixloom:num_queue_reqs") == 0


def test_a_prompt_is_judged_without_generating(server: HttpServer):
    body = _body(2, max_tokens=0, echo=True, logprobs=1)
    [choice] = server.client.post("/v1/completions", json=body).json()["choices"]
    assert len(choice["logprobs"]["token_logprobs"]) == len(PREFIX) + 2
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert all(logprob <= 0 for logprob in choice["logprobs"]["token_logprobs"][1:])
