"""Anthropic's API through its real client, before the echo engine."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import pytest
from support.http_server import HttpServer, echo_engine
from support.tiny import FOLDER, ids_of

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
TOOLS: list[Any] = [{"name": "get_weather", "input_schema": {"type": "object"}}]
THOUGHT = "<think>\nHm.\n</think>\n\n"


def said(text: str, **more: Any) -> dict[str, Any]:
    """The parameters that make `text` the answer."""
    messages = [{"role": "user", "content": text}]
    return {"model": "echo", "max_tokens": 200, "messages": messages, **more}


def events(server: HttpServer, **body: Any) -> list[tuple[str, Any]]:
    """The events of a stream as they are on the wire."""
    answer = server.client.post("/v1/messages", json=body | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    pairs = [frame.split("\n") for frame in answer.text.strip().split("\n\n")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in pairs
    ]


def test_an_answer_has_all_that_the_client_library_reads(asking: anthropic.Anthropic):
    answer = asking.messages.create(**said("hello"))
    assert answer.id.startswith("msg_")
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "echo")
    [block] = answer.content
    assert block.type == "text"
    assert (block.text, answer.stop_reason, answer.stop_sequence) == ("hello", "end_turn", None)
    num_prompt = len(ids_of("hello<|im_end|>"))
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (num_prompt, num_prompt)
    assert answer._request_id


def test_a_streams_events_come_in_anthropics_order(echo: HttpServer):
    told = events(echo, **said(f"{THOUGHT}I look.\n{CALL}", tools=TOOLS))
    assert all(name == data["type"] for name, data in told)
    names = [name for name, _ in told if name != "content_block_delta"]
    block = ["content_block_start", "content_block_stop"]
    ends = ["message_delta", "message_stop"]
    assert names == ["message_start", "ping", *block * 3, *ends]
    indices = [data["index"] for name, data in told if name.startswith("content_block")]
    assert indices == sorted(indices)
    deltas = [data["delta"] for name, data in told if name == "content_block_delta"]
    kinds = [delta["type"] for delta in deltas]
    assert list(dict.fromkeys(kinds)) == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "input_json_delta",
    ]
    assert kinds.count("input_json_delta") > 3


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_words_and_calls_are_blocks(asking: anthropic.Anthropic, stream: bool):
    params = said(f"{THOUGHT}I look.\n{CALL}", tools=TOOLS)
    if stream:
        with asking.messages.stream(**params) as streaming:
            answer: Any = streaming.get_final_message()
    else:
        answer = asking.messages.create(**params)
    thinking, text, call = answer.content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "Hm.", "")
    assert (text.type, text.text) == ("text", "I look.")
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert call.id
    assert answer.stop_reason == "tool_use"
    assert answer.usage.output_tokens == answer.usage.input_tokens + (
        answer.usage.cache_read_input_tokens or 0
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_is_cut_out_and_named(asking: anthropic.Anthropic, stream: bool):
    params = said("one two three", stop_sequences=["thr", " two"])
    if stream:
        with asking.messages.stream(**params) as streaming:
            assert "".join(streaming.text_stream) == "one"
            answer: Any = streaming.get_final_message()
    else:
        answer = asking.messages.create(**params)
    assert [block.text for block in answer.content] == ["one"]
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", " two")


def test_the_answer_is_no_longer_than_asked_for(asking: anthropic.Anthropic):
    answer = asking.messages.create(**said("one two three") | {"max_tokens": 2})
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 2)


def test_a_call_that_is_cut_off_has_what_of_its_input_was_complete(asking: anthropic.Anthropic):
    call = CALL.replace('"Paris"', '"Paris", "days": 12')
    num_tokens = len(ids_of(call[: call.index(', "days": 12') + 8]))
    answer: Any = asking.messages.create(**said(call, tools=TOOLS) | {"max_tokens": num_tokens})
    assert answer.stop_reason == "max_tokens"
    assert answer.content[0].input == {"city": "Paris"}


def test_tokens_found_in_the_cache_are_counted_apart(asking: anthropic.Anthropic):
    words = "to be or not to be that is the question whether it is nobler"
    usage = asking.messages.create(**said(words)).usage
    # The echo engine claims to have found all whole pages before the last token.
    assert usage.cache_read_input_tokens
    num_prompt = len(ids_of(f"{words}<|im_end|>"))
    assert usage.input_tokens + usage.cache_read_input_tokens == num_prompt
    assert usage.cache_creation_input_tokens == 0


def test_an_answer_can_be_sent_back_as_history(asking: anthropic.Anthropic):
    first = asking.messages.create(**said(f"{THOUGHT}I look.\n{CALL}", tools=TOOLS))
    call = first.content[-1]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}
    history: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result, {"type": "text", "text": " And now?"}]},
    ]
    answer = asking.messages.create(
        model="echo", max_tokens=50, messages=history, tools=TOOLS
    ).content[0]
    assert answer.type == "text"
    assert answer.text == "Weather? And now?"


def test_tokens_are_counted_without_an_answer(asking: anthropic.Anthropic):
    params = said("one two three")
    del params["max_tokens"]
    counted = asking.messages.count_tokens(**params).input_tokens
    assert counted == len(ids_of("one two three<|im_end|>"))


def test_the_model_is_told_the_system_prompt(server: HttpServer):
    body = {"model": FOLDER.name, "max_tokens": 20, "messages": [{"role": "user", "content": "x"}]}
    counts = [
        server.client.post("/v1/messages/count_tokens", json=given).json()["input_tokens"]
        for given in (
            {"model": body["model"], "messages": body["messages"]},
            {"model": body["model"], "messages": body["messages"], "system": "Be brief."},
        )
    ]
    assert counts[1] > counts[0] + len(ids_of("Be brief."))
    blocks = [{"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}}]
    blocks.append({"type": "text", "text": "brief."})
    answer = server.client.post("/v1/messages", json=body | {"system": blocks}).json()
    assert answer["content"][0]["text"] == "system\nBe brief."


def test_an_answer_continues_the_assistants_turn_at_the_end(server: HttpServer):
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Hel"}]
    body = {"model": FOLDER.name, "messages": messages}
    counted = server.client.post("/v1/messages/count_tokens", json=body).json()["input_tokens"]
    prompt = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\nHel"
    assert counted == len(ids_of(prompt))


@pytest.fixture(scope="module")
def locked() -> Iterator[HttpServer]:
    with HttpServer(echo_engine("--step-seconds", "0.02"), api_key="sk-right") as running:
        yield running


@pytest.mark.parametrize("given", [{"api_key": "sk-right"}, {"auth_token": "sk-right"}])
def test_either_way_to_give_a_key_opens(locked: HttpServer, given: dict[str, str]):
    with anthropic.Anthropic(base_url=locked.url, max_retries=0, **given) as client:
        assert client.messages.create(**said("x") | {"model": FOLDER.name}).content


def test_the_old_header_of_keys_opens_too(locked: HttpServer):
    body = said("x") | {"model": FOLDER.name}
    answer = locked.client.post("/v1/messages", json=body, headers={"x-api-key": "sk-right"})
    assert answer.status_code == 200


def test_an_aborted_answer_says_that_its_turn_can_go_on(locked: HttpServer):
    key = {"x-api-key": "sk-right"}
    body = said("x") | {"model": FOLDER.name}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(locked.client.post, "/v1/messages", json=body, headers=key)
        abort = {"abort_all": True}
        while not locked.client.post("/abort_request", json=abort, headers=key).json()[
            "num_aborted"
        ]:
            pass
        assert asked.result().json()["stop_reason"] == "pause_turn"


def test_a_wrong_key_is_anthropics_authentication_error(locked: HttpServer):
    with (
        anthropic.Anthropic(base_url=locked.url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(**said("x"))
    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "authentication_error",
            "message": "the API key is none of this server's; ask its operator for one",
        },
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("GET", "/v1/messages/batches", 404, "not_found_error"),
    ],
)
def test_what_routing_refuses_is_told_in_anthropics_form(
    echo: HttpServer, method: str, path: str, status: int, kind: str
):
    answer = echo.client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


def test_an_unknown_model_is_not_found(asking: anthropic.Anthropic):
    with pytest.raises(anthropic.NotFoundError, match="'nobody' is not served here"):
        asking.messages.create(**said("x") | {"model": "nobody"})


TURN = {"role": "user", "content": "x"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 100_000}, "the context length is 256 tokens"),
    ({"messages": []}, "messages: List should have at least 1 item"),
    ({"mcp_servers": [{"name": "x"}]}, "mcp_servers is not supported"),
    ({"container": "c"}, "container is not supported"),
    ({"best": 1}, "unknown parameter: best"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.budget_tokens"),
    ({"output_config": {"effort": "low"}}, "output_config.effort: the model's chat template"),
    ({"output_config": {"format": {}}}, "missing required parameter: output_config.format.type"),
    ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": TOOLS * 2}, "several functions are named 'get_weather'"),
    ({"tool_choice": {"type": "tool"}, "tools": TOOLS}, "name goes with the type 'tool'"),
    ({"tool_choice": {"type": "auto"}}, "tool_choice is only allowed when tools are given"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        "messages[0].content: only blocks of type text, thinking, tool_use, tool_result are",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "txt": "x"}]}]},
        "messages[0].content[0].text",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]},
        "a block of type thinking is for role 'assistant', found role 'user'",
    ),
    (
        {
            "messages": [
                TURN,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
                },
            ]
        },
        "calls must be followed by their results",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_done_is_refused_by_name(
    asking: anthropic.Anthropic, body: dict[str, Any], message: str
):
    with pytest.raises(anthropic.BadRequestError) as caught:
        asking.messages.create(**said("x"), extra_body=body)
    assert isinstance(caught.value.body, dict)
    error = caught.value.body["error"]
    assert error["type"] == "invalid_request_error"
    assert message in error["message"]


def test_values_that_ask_for_nothing_are_accepted(asking: anthropic.Anthropic):
    answer = asking.messages.create(
        **said("hello"),
        metadata={"user_id": "me"},
        service_tier="auto",
        thinking={"type": "adaptive"},
        extra_body={"mcp_servers": [], "cache_control": {"type": "ephemeral"}},
    )
    assert answer.stop_reason == "end_turn"
