"""The echo engine answers with the prompt's own tokens, so the answer begins with the template."""

from typing import Any

import openai
import pytest
from support.http_server import HttpServer
from support.tiny import IM_END, IM_START, ids_of, tiny_template

MODEL = "tiny_tokenizer"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
PROMPT = tiny_template().render(HELLO)
PROMPT_IDS = ids_of(PROMPT)
SPOKEN = "user\nhello"
"""What of the prompt is text, up to the first end-of-turn token."""


def test_an_answer_has_all_that_the_client_library_reads(client: openai.OpenAI):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", SPOKEN)
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(PROMPT_IDS)
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == len(PROMPT_IDS) + 8
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


def test_a_stream_tells_the_same_answer_in_pieces(client: openai.OpenAI):
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert "".join(delta.content or "" for delta in deltas) == SPOKEN
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_tells_usage_last_when_asked_for(client: openai.OpenAI):
    *chunks, last = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == len(PROMPT_IDS) + 8
    assert all(chunk.usage is None for chunk in chunks)


def test_every_chunk_has_null_usage_only_when_usage_is_asked_for(server: HttpServer):
    body = {"model": MODEL, "messages": HELLO, "stream": True, "max_tokens": 1}
    plain = server.client.post("/v1/chat/completions", json=body).text
    asked = body | {"stream_options": {"include_usage": True}}
    with_usage = server.client.post("/v1/chat/completions", json=asked).text
    assert '"usage"' not in plain
    assert '"usage":null' in with_usage
    assert plain.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_answer_is_no_longer_than_asked_for(client: openai.OpenAI, name: str):
    limit: dict[str, Any] = {name: 3}
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, **limit)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_without_a_limit_the_answer_may_fill_the_context(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.total_tokens == 256


def test_a_stop_string_is_cut_out(client: openai.OpenAI):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, stop="ell")
    assert answer.choices[0].message.content == "user\nh"
    assert answer.choices[0].finish_reason == "stop"


def test_a_stop_string_is_cut_out_of_a_stream(client: openai.OpenAI):
    chunks = client.chat.completions.create(
        model=MODEL, messages=HELLO, stop=["zzz", "ell"], stream=True
    )
    pieces = [chunk.choices[0] for chunk in chunks]
    assert "".join(piece.delta.content or "" for piece in pieces) == "user\nh"
    assert pieces[-1].finish_reason == "stop"


def test_logprobs_tell_token_bytes_and_alternatives(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=2, max_tokens=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [entry.token for entry in logprobs.content] == ["<|im_start|>", "us", "er"]
    assert [entry.logprob for entry in logprobs.content] == [-i / 8 for i in PROMPT_IDS[:3]]
    assert logprobs.content[1].bytes == list(b"us")
    assert [top.token for top in logprobs.content[0].top_logprobs] == ["!", '"']
    assert [top.logprob for top in logprobs.content[0].top_logprobs] == [0, -1 / 8]


def test_logprobs_come_with_the_chunks_of_a_stream(client: openai.OpenAI):
    chunks = client.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, max_tokens=3, stream=True
    )
    found = [chunk.choices[0].logprobs for chunk in chunks]
    tokens = [entry.token for each in found if each for entry in each.content or ()]
    assert tokens == ["<|im_start|>", "us", "er"]


def test_several_choices_each_have_their_index(client: openai.OpenAI):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=3, max_tokens=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(PROMPT_IDS)
    assert answer.usage.completion_tokens == 6


def test_several_choices_stream_side_by_side(client: openai.OpenAI):
    texts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model=MODEL, messages=HELLO, n=2, stream=True):
        [choice] = chunk.choices
        texts[choice.index] += choice.delta.content or ""
    assert texts == {0: SPOKEN, 1: SPOKEN}


def test_token_ids_come_when_asked_for(server: HttpServer):
    body = {"model": MODEL, "messages": HELLO, "return_token_ids": True}
    [choice] = server.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert choice["prompt_token_ids"] == PROMPT_IDS
    assert choice["token_ids"] == PROMPT_IDS[:8]
    assert choice["token_ids"][-1] == IM_END


def test_special_tokens_are_text_when_asked_for(server: HttpServer):
    body = {"model": MODEL, "messages": HELLO, "skip_special_tokens": False}
    [choice] = server.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert choice["message"]["content"] == "<|im_start|>" + SPOKEN


def test_a_stop_token_ends_the_answer(server: HttpServer):
    body = {"model": MODEL, "messages": HELLO, "stop_token_ids": ids_of("\n")}
    [choice] = server.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("user", "stop")


def test_parts_of_text_are_joined(server: HttpServer):
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": parts}]}
    [choice] = server.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert choice["message"]["content"] == SPOKEN


def test_an_answer_can_be_sent_back_as_history(client: openai.OpenAI):
    said = client.chat.completions.create(model=MODEL, messages=HELLO).choices[0].message
    messages: list[Any] = [*HELLO, said, *HELLO]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 2 * len(PROMPT_IDS)


def test_a_developers_words_are_the_systems(server: HttpServer):
    body = {
        "model": MODEL,
        "messages": [{"role": "developer", "content": "x"}, *HELLO],
        "return_token_ids": True,
    }
    [choice] = server.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert choice["prompt_token_ids"][:2] == [IM_START, ids_of("system")[0]]


def test_values_that_ask_for_nothing_are_accepted(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        user="me",
        store=False,
        metadata={"a": "b"},
        response_format={"type": "text"},
        service_tier="auto",
        tools=[],
        tool_choice="none",
    )
    assert answer.choices[0].message.content == SPOKEN
