"""Tools and reasoning through the real client.

The echo engine answers with the prompt's own tokens, so a chat template that writes the user's
words alone makes them the answer.
"""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from support.http_server import HttpServer, echo_engine
from support.tiny import tiny_tokenizer

MODEL = "tiny_tokenizer"
ECHO = (
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}<|im_end|>"
    "{# tools tool_calls <tool_call> <think> #}{% if tools or enable_thinking %}{% endif %}"
)
"""Its comment tells the formats."""
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "get_time")
]
PARIS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
CET = '<tool_call>\n{"name": "get_time", "arguments": {"zone": "CET"}}\n</tool_call>'


@pytest.fixture(scope="module")
def own() -> Iterator[HttpServer]:
    """A server that takes chat templates from requests."""
    with HttpServer(echo_engine(), request_chat_template=True) as running:
        yield running


@pytest.fixture(scope="module")
def asking(own: HttpServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{own.url}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def said(text: str, **more: Any) -> dict[str, Any]:
    """The parameters that make `text` the answer."""
    extra = {"chat_template": ECHO, **more.pop("extra_body", {})}
    messages = [{"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "extra_body": extra, **more}


def streamed(client: openai.OpenAI, **params: Any) -> Any:
    """Accumulate a stream as the client library does."""
    state = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(stream=True, **params):
        state.handle_chunk(chunk)
    return state.get_final_completion()


def called(answer: Any) -> list[tuple[str, Any]]:
    calls = answer.choices[0].message.tool_calls or []
    assert all(call.id.startswith("call_") and call.type == "function" for call in calls)
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_calls_are_told_with_the_content_before_them(asking: openai.OpenAI):
    answer = asking.chat.completions.create(**said(f"I look.\n{PARIS}\n{CET}", tools=TOOLS))
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    assert called(answer) == [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]


def test_a_streams_calls_add_up_to_the_same(asking: openai.OpenAI):
    answer = streamed(asking, **said(f"I look.\n{PARIS}\n{CET}", tools=TOOLS))
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    assert called(answer) == [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]


def test_a_call_alone_has_null_content(own: HttpServer):
    params = said(PARIS, tools=TOOLS)
    body = params | params.pop("extra_body")
    [choice] = own.client.post("/v1/chat/completions", json=body).json()["choices"]
    assert choice["message"]["content"] is None
    assert "reasoning_content" not in choice["message"]


def test_arguments_come_in_several_chunks(asking: openai.OpenAI):
    chunks = list(asking.chat.completions.create(stream=True, **said(PARIS, tools=TOOLS)))
    pieces = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert len(pieces) > 3
    assert [piece.id is not None for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert {piece.index for piece in pieces} == {0}


def test_only_one_call_is_told_where_parallel_ones_are_not_wanted(asking: openai.OpenAI):
    params = said(PARIS + CET, tools=TOOLS, parallel_tool_calls=False)
    for answer in (asking.chat.completions.create(**params), streamed(asking, **params)):
        assert called(answer) == [("get_weather", {"city": "Paris"})]


def test_with_the_choice_none_calls_are_words(asking: openai.OpenAI):
    answer = asking.chat.completions.create(**said(PARIS, tools=TOOLS, tool_choice="none"))
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (PARIS, "stop")


def test_a_call_that_is_cut_off_ends_by_length(asking: openai.OpenAI):
    answer = asking.chat.completions.create(**said(PARIS, tools=TOOLS, max_tokens=30))
    assert answer.choices[0].finish_reason == "length"
    [call] = answer.choices[0].message.tool_calls or []
    assert '{"city": "Paris"}'.startswith(call.function.arguments)  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_told_apart(asking: openai.OpenAI, stream: bool):
    params = said("<think>\nHm.\n</think>\n\nHello")
    if stream:
        chunks = list(asking.chat.completions.create(stream=True, **params))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        content = "".join(delta.content or "" for delta in deltas)
        reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    else:
        message = asking.chat.completions.create(**params).choices[0].message
        content, reasoning = message.content, message.reasoning_content  # type: ignore[attr-defined]
    assert (content, reasoning) == ("Hello", "Hm.")


def test_reasoning_stays_in_the_content_when_asked_for(asking: openai.OpenAI):
    text = "<think>\nHm.\n</think>\n\nHello"
    params = said(text, extra_body={"separate_reasoning": False})
    assert asking.chat.completions.create(**params).choices[0].message.content == text


def test_a_conversation_with_calls_is_what_the_template_makes_of_it(own: HttpServer):
    call = {
        "id": "a",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    messages: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
    ]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1, "return_token_ids": True}
    [choice] = own.client.post("/v1/chat/completions", json=body).json()["choices"]
    text = tiny_tokenizer().decode(choice["prompt_token_ids"], skip_special_tokens=False)
    assert text == (
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n\n" + PARIS + "<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nSunny.\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_model_is_told_of_the_tools_unless_none_may_be_called(own: HttpServer):
    messages = [{"role": "user", "content": "x"}]
    body = {"model": MODEL, "messages": messages, "tools": TOOLS[:1], "return_token_ids": True}
    texts = {}
    for choice in ("auto", "none"):
        given = body | {"tool_choice": choice, "max_tokens": 1}
        [found] = own.client.post("/v1/chat/completions", json=given).json()["choices"]
        texts[choice] = tiny_tokenizer().decode(
            found["prompt_token_ids"], skip_special_tokens=False
        )
    assert json.dumps(TOOLS[0]) in texts["auto"]
    assert "get_weather" not in texts["none"]


@pytest.mark.parametrize(
    ("params", "end"),
    [
        ({}, "Hel<|im_end|>\n<|im_start|>assistant\n"),
        ({"add_generation_prompt": False}, "Hel<|im_end|>\n"),
        ({"continue_final_message": True}, "<|im_start|>assistant\nHel"),
    ],
)
def test_the_prompt_ends_as_asked_for(own: HttpServer, params: dict[str, Any], end: str):
    messages = [{"role": "user", "content": "Hel"}, {"role": "assistant", "content": "Hel"}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1, "return_token_ids": True}
    [choice] = own.client.post("/v1/chat/completions", json=body | params).json()["choices"]
    text = tiny_tokenizer().decode(choice["prompt_token_ids"], skip_special_tokens=False)
    assert text.endswith(end)


def test_the_prompts_logprobs_are_told_when_asked_for(own: HttpServer):
    messages = [{"role": "user", "content": "x"}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1, "prompt_logprobs": 2}
    answer = own.client.post("/v1/chat/completions", json=body | {"return_token_ids": True}).json()
    first, *others = answer["prompt_logprobs"]
    ids = answer["choices"][0]["prompt_token_ids"]
    assert first is None
    assert [entry["logprob"] for entry in others] == [-token_id / 8 for token_id in ids[1:]]
    assert {len(entry["top_logprobs"]) for entry in others} == {2}


CALLED: list[Any] = [
    {"role": "user", "content": "x"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
    },
]


def with_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


STRICT = {"type": "function", "function": {"name": "f", "strict": True}}
LLAMA = "{% if tools %}{% endif %}{# tool_calls <|python_tag|> #}"
REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "tools": TOOLS},
        None,
        "none of the tools",
    ),
    ({"tool_choice": "auto"}, None, "only allowed when tools are given"),
    ({"tool_choice": "maybe", "tools": TOOLS}, "tool_choice", "must be 'none'"),
    ({"tools": TOOLS + TOOLS[:1]}, None, "several functions are named 'get_weather'"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'function'"),
    (
        {"tools": [{"type": "function", "function": {"name": ""}}]},
        "tools[0].function.name",
        "match",
    ),
    ({"tools": [STRICT], "chat_template": LLAMA}, "tools[0].function.strict", "begin like any"),
    (
        {"tools": TOOLS, "chat_template": LLAMA, "response_format": {"type": "json_object"}},
        "response_format",
        "begin like any",
    ),
    (
        {"tools": [with_parameters({"properties": 5})], "tool_choice": "required"},
        "tools[0].function.parameters",
        "properties must be an object",
    ),
    (
        {"tools": [with_parameters({"required": [[1]]})], "tool_choice": "required"},
        "tools[0].function.parameters",
        "required must be a list of names",
    ),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "'low'"),
    ({"reasoning_effort": "low"}, "reasoning_effort", "does not read 'reasoning_effort'"),
    ({"chat_template_kwargs": {"x": 1}}, "chat_template_kwargs.x", "does not read 'x'"),
    ({"chat_template_kwargs": {"tools": 1}}, "chat_template_kwargs.tools", "does not read"),
    ({"chat_template": "{% if %}"}, "chat_template", "line 1"),
    ({"chat_template": "x", "tools": TOOLS}, "tools", "no place for tools"),
    ({"chat_template": "x", "messages": CALLED}, "messages", "no place for earlier calls"),
    ({"chat_template": "x", "enable_thinking": True}, "enable_thinking", "does not read"),
    (
        {"continue_final_message": True, "add_generation_prompt": True},
        None,
        "exclude each other",
    ),
    ({"prompt_logprobs": 1, "stream": True}, None, "only allowed when stream is false"),
    (
        {
            "messages": [
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}],
                },
            ]
        },
        "messages[1].tool_calls[0].function.arguments",
        "must be a JSON object",
    ),
    ({"messages": [{"role": "user", "content": "x", "tool_call_id": "a"}]}, "messages[0]", "role"),
]


@pytest.mark.parametrize(("body", "param", "message"), REFUSED)
def test_what_cannot_be_done_is_refused_by_name(
    own: HttpServer, body: dict[str, Any], param: str | None, message: str
):
    params = said("x")
    given = params | params.pop("extra_body") | body
    response = own.client.post("/v1/chat/completions", json=given)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert message in error["message"]


def test_a_template_from_a_request_is_refused_unless_the_server_allows_it(server: HttpServer):
    params = said("x")
    response = server.client.post("/v1/chat/completions", json=params | params.pop("extra_body"))
    assert response.status_code == 400
    assert "--request-chat-template" in response.json()["error"]["message"]
