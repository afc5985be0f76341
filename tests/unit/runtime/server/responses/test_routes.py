"""OpenAI's Responses API through its real client, before the echo engine."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from support import echo_chats
from support.http_server import HttpServer, echo_engine
from support.tiny import FOLDER, ids_of
from support.toy_engine import SLOW, toy_engine

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
TOOLS: list[Any] = [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}]
THOUGHT = "<think>\nHm.\n</think>\n\n"


def said(text: str, **more: Any) -> dict[str, Any]:
    """The parameters that make `text` the answer."""
    return {"model": "echo", "input": text, **more}


def streamed(client: openai.OpenAI, **params: Any) -> Any:
    """The whole response as the client library adds it up."""
    with client.responses.stream(**params) as stream:
        return stream.get_final_response()


def test_an_answer_has_all_that_the_client_library_reads(asking: openai.OpenAI):
    answer = asking.responses.create(**said("hello", metadata={"a": "b"}, temperature=0.5))
    assert answer.id.startswith("resp_")
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "echo")
    assert answer.output_text == "hello"
    [item] = answer.output
    assert item.type == "message"
    assert (item.role, item.status, item.id[:4]) == ("assistant", "completed", "msg_")
    num_prompt = len(ids_of("hello<|im_end|>"))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (num_prompt, num_prompt)
    assert answer.usage.total_tokens == 2 * num_prompt
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    assert (answer.error, answer.incomplete_details) == (None, None)
    assert (answer.metadata, answer.temperature, answer.tool_choice) == ({"a": "b"}, 0.5, "auto")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_words_and_calls_are_items(asking: openai.OpenAI, stream: bool):
    params = said(f"{THOUGHT}I look.\n{CALL}", tools=TOOLS)
    answer: Any = streamed(asking, **params) if stream else asking.responses.create(**params)
    reasoning, message, call = answer.output
    assert (reasoning.type, reasoning.summary) == ("reasoning", [])
    assert [(part.type, part.text) for part in reasoning.content] == [("reasoning_text", "Hm.")]
    assert (message.type, answer.output_text) == ("message", "I look.")
    assert (call.type, call.name, json.loads(call.arguments)) == (
        "function_call",
        "get_weather",
        {"city": "Paris"},
    )
    assert call.call_id.startswith("call_")
    assert answer.status == "completed"
    assert answer.usage.output_tokens_details.reasoning_tokens == len(ids_of("Hm."))


def test_a_streams_events_are_numbered_and_come_in_openais_order(asking: openai.OpenAI):
    events: list[Any] = list(
        asking.responses.create(**said(f"{THOUGHT}Hi.\n{CALL}", tools=TOOLS), stream=True)
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_text.delta",
        "output_text.done",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "completed",
    ]
    added = [event for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.output_index for event in added] == [event.output_index for event in done]
    assert [event.item.id for event in added] == [event.item.id for event in done]
    assert [event.item.status for event in added] == ["in_progress"] * 3
    assert [event.item for event in done] == events[-1].response.output
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(deltas) > 3
    assert {event.item_id for event in deltas} == {done[2].item.id}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_meets_its_limit_is_incomplete(asking: openai.OpenAI, stream: bool):
    params = said("one two three", max_output_tokens=2)
    if stream:
        *_, last = asking.responses.create(**params, stream=True)
        assert last.type == "response.incomplete"
        answer = last.response
    else:
        answer = asking.responses.create(**params)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    [item] = answer.output
    assert item.type == "message"
    assert item.status == "incomplete"


def test_a_conversation_goes_on_from_a_stored_response(asking: openai.OpenAI):
    first = asking.responses.create(**said("one", instructions="Be brief."))
    second = asking.responses.create(**said(" two", previous_response_id=first.id))
    third = asking.responses.create(**said(" three", previous_response_id=second.id))
    assert second.previous_response_id == first.id
    # The template writes the user's words alone, so all of them are the answer.
    assert [each.output_text for each in (first, second, third)] == [
        "one",
        "one two",
        "one two three",
    ]


def test_what_led_to_a_response_is_what_the_model_reads(server: HttpServer):
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'}
    items: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
        call,
        {"type": "function_call_output", "call_id": "a", "output": "B"},
    ]
    body = {"model": FOLDER.name, "input": items, "max_output_tokens": 3}
    found = server.client.post("/v1/responses", json=body).json()
    prompt = (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nA\n<tool_call>\n"
        '{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nB\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    assert found["usage"]["input_tokens"] == len(ids_of(prompt))
    more = {"model": FOLDER.name, "input": "C", "previous_response_id": found["id"]}
    again = server.client.post("/v1/responses", json=more | {"max_output_tokens": 1}).json()
    answer = "".join(part["text"] for item in found["output"] for part in item["content"])
    longer = f"{prompt}{answer}<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n"
    assert again["usage"]["input_tokens"] == len(ids_of(longer))


def test_an_answers_items_can_be_sent_back(asking: openai.OpenAI):
    first = asking.responses.create(**said(f"{THOUGHT}I look.\n{CALL}", tools=TOOLS))
    call = first.output[-1]
    assert call.type == "function_call"
    items: list[Any] = [
        {"role": "user", "content": "Weather?"},
        *first.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."},
        {"role": "user", "content": [{"type": "input_text", "text": " And now?"}]},
    ]
    answer = asking.responses.create(model="echo", input=items, tools=TOOLS)
    assert answer.output_text == "Weather? And now?"


def test_a_call_that_was_cut_off_can_be_gone_on_from(asking: openai.OpenAI):
    cut = ids_of(CALL)[:-14]
    first = asking.responses.create(**said(CALL, tools=TOOLS, max_output_tokens=len(cut)))
    [call] = first.output
    assert call.type == "function_call"
    assert call.status == "incomplete"
    second = asking.responses.create(**said("!", previous_response_id=first.id))
    assert second.output_text == CALL + "!"


def test_a_stored_response_is_told_again_until_it_is_deleted(asking: openai.OpenAI):
    for stream in (False, True):
        params = said("hello")
        told = streamed(asking, **params) if stream else asking.responses.create(**params)
        assert asking.responses.retrieve(told.id).output[0].id == told.output[0].id
        asking.responses.delete(told.id)
        for gone in (asking.responses.retrieve, asking.responses.delete):
            with pytest.raises(openai.NotFoundError, match=told.id):
                gone(told.id)


def test_a_response_that_is_not_to_be_stored_is_not(asking: openai.OpenAI):
    told = asking.responses.create(**said("hello", store=False))
    assert told.store is False  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError):
        asking.responses.retrieve(told.id)
    with pytest.raises(openai.BadRequestError) as caught:
        asking.responses.create(**said("x", previous_response_id=told.id))
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.param == "previous_response_id"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text("sk-mine\nsk-yours\n")
    with HttpServer(echo_engine("--step-seconds", "0.02"), api_key_file=path) as running:
        yield running


def test_a_response_is_its_askers_alone(locked: HttpServer):
    mine, yours = (
        openai.OpenAI(base_url=f"{locked.url}/v1", api_key=key, max_retries=0)
        for key in ("sk-mine", "sk-yours")
    )
    with mine, yours:
        told = mine.responses.create(**said("x") | {"model": FOLDER.name})
        with pytest.raises(openai.NotFoundError):
            yours.responses.retrieve(told.id)
        with pytest.raises(openai.BadRequestError):
            yours.responses.create(
                **said("x", previous_response_id=told.id) | {"model": FOLDER.name}
            )
        assert mine.responses.retrieve(told.id).id == told.id


def test_an_aborted_response_is_cancelled(locked: HttpServer):
    key = {"authorization": "Bearer sk-mine"}
    body = said("x") | {"model": FOLDER.name}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(locked.client.post, "/v1/responses", json=body, headers=key)
        abort = {"abort_all": True}
        while not locked.client.post("/abort_request", json=abort, headers=key).json()[
            "num_aborted"
        ]:
            pass
        found = asked.result().json()
    assert (found["status"], found["incomplete_details"]) == ("cancelled", None)


def test_a_stream_that_breaks_off_ends_with_a_failed_response(tmp_path):
    folder = echo_chats.write_folder(tmp_path / "toy", "{{ messages[0].content }}")
    with (
        HttpServer(toy_engine, model=folder, request_timeout=0.3) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        slow = chr(ord("!") + SLOW)
        *_, last = client.responses.create(model="toy", input=slow, stream=True)
        assert last.type == "response.failed"
        assert last.response.status == "failed"
        assert last.response.error is not None
        assert "not complete after 0.3 s" in last.response.error.message
        [item] = last.response.output
        assert item.type == "message"
        assert item.status == "incomplete"


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"background": True}, "background", "not supported"),
    ({"include": ["reasoning.encrypted_content"]}, "include", "not supported"),
    ({"conversation": "c"}, "conversation", "not supported"),
    ({"truncation": "auto"}, "truncation", "not supported"),
    ({"best": 1}, "best", "unknown parameter"),
    ({"max_output_tokens": 100_000}, "input", "the context length is 256 tokens"),
    ({"input": []}, "input", "at least 1 item"),
    ({"input": [{"type": "item_reference", "id": "a"}]}, "input", "item 0 is 'item_reference'"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input[0].content",
        "part 0 is 'input_image'",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "x"}]},
        "input[0].arguments",
        "must be a JSON object",
    ),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'function'"),
    ({"tools": TOOLS * 2}, None, "several functions are named"),
    ({"tool_choice": {"type": "web_search"}, "tools": TOOLS}, "tool_choice", "must be 'none'"),
    ({"tool_choice": "auto"}, None, "only allowed when tools are given"),
    ({"reasoning": {"effort": "low"}}, "reasoning.effort", "does not read"),
    ({"reasoning": {"summary": "auto"}}, "reasoning.summary", "None"),
    ({"text": {"format": {"type": "grammar"}}}, "text.format", "'json_schema'"),
    (
        {"text": {"format": {"type": "json_schema", "name": "n"}}},
        "text.format.json_schema.schema",
        "missing",
    ),
    ({"stream_options": {}}, None, "only allowed when stream is true"),
]


@pytest.mark.parametrize(("body", "param", "message"), REFUSED)
def test_what_cannot_be_done_is_refused_by_name(
    asking: openai.OpenAI, body: dict[str, Any], param: str | None, message: str
):
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        asking.responses.create(**said("x"), extra_body=body)
    assert caught.value.param == param


def test_a_stored_response_is_not_told_in_another_way(echo: HttpServer):
    answer = echo.client.get("/v1/responses/resp_1", params={"stream": "true"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")


def test_values_that_ask_for_nothing_are_accepted(asking: openai.OpenAI):
    answer = asking.responses.create(
        **said("hello"),
        include=[],
        truncation="disabled",
        service_tier="auto",
        background=False,
        prompt_cache_key="k",
        safety_identifier="s",
        text={"format": {"type": "text"}},
        user="me",
    )
    assert answer.output_text == "hello"
