"""Calls that an answer is held to, by a real engine with a tiny model that knows no better.

Its weights are random, so whatever form its answers have, the grammar gave them.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import jsonschema
import openai
import pydantic
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from support import tiny
from support.goldens import folder
from support.http_server import HttpServer

from radixloom_runtime.engine.launch import engine_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEMPLATE = (
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}<|im_end|>"
    "{# tools tool_calls <tool_call> #}{% if tools %}{% endif %}"
)
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Oslo"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
}
TIME = {
    "type": "object",
    "properties": {"zone": {"type": "string", "maxLength": 4}},
    "required": ["zone"],
}
SCHEMAS: dict[str, Any] = {"get_weather": WEATHER, "get_time": TIME}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
ONE_WORD: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": {"enum": ["yes"]}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    model = tmp_path_factory.mktemp("model")
    shutil.copytree(folder("qwen3"), model, dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(tiny.FOLDER / name, model)
    with HttpServer(
        engine_command,
        wait=False,
        model=model,
        served_model_name="tiny",
        request_chat_template=True,
        max_running_requests=4,
        step_tokens=64,
        kv_cache_tokens=4096,
    ) as running:
        running.client.timeout = 120
        running.wait_until_ready(400)
        yield running


@pytest.fixture(scope="module")
def client(server: HttpServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=120
    ) as connected:
        yield connected


def asked(seed: int, **more: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": "What is the weather?"}],
        "tools": TOOLS,
        "max_tokens": 300,
        "seed": seed,
        "extra_body": {"chat_template": TEMPLATE},
        **more,
    }


def calls_of(completion: Any) -> list[str]:
    """Names of the tools called, each with arguments by its schema."""
    message = completion.choices[0].message
    for call in message.tool_calls or ():
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    return [call.function.name for call in message.tool_calls or ()]


@pytest.mark.parametrize("seed", range(4))
def test_a_required_answer_is_nothing_but_calls(client, seed):
    (eos,) = tiny.tiny_vocabulary().eos_tokens  # else a model like this may call without end
    completion = client.chat.completions.create(
        **asked(seed, tool_choice="required", logit_bias={str(eos): 5.0})
    )
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert calls_of(completion)
    assert set(calls_of(completion)) <= set(SCHEMAS)


@pytest.mark.parametrize("seed", range(4))
def test_only_one_call_is_made_where_they_may_not_be_parallel(client, seed):
    completion = client.chat.completions.create(
        **asked(seed, tool_choice="required", parallel_tool_calls=False)
    )
    assert completion.choices[0].finish_reason == "tool_calls"
    assert len(calls_of(completion)) == 1


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_named_function_is_called_once_in_a_stream_as_in_a_whole_answer(client, name):
    choice: Any = {"type": "function", "function": {"name": name}}
    body = asked(1, tool_choice=choice)
    whole = client.chat.completions.create(**body)
    assert calls_of(whole) == [name]
    state = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(stream=True, **body):
        state.handle_chunk(chunk)
    streamed = state.get_final_completion()
    assert calls_of(streamed) == [name]
    (call,), (other,) = (each.choices[0].message.tool_calls for each in (whole, streamed))
    assert call.function.arguments == other.function.arguments


def test_a_thinking_model_comes_to_an_end_and_then_calls(client):
    mark = str(tiny.tiny_tokenizer().marks["</think>"])
    body = asked(3, tool_choice="required", parallel_tool_calls=False, logit_bias={mark: 4.0})
    body["extra_body"]["chat_template"] = TEMPLATE.replace("<|im_end|>", "<|im_end|><think>\n")
    completion = client.chat.completions.create(**body)
    assert completion.choices[0].message.reasoning_content
    assert len(calls_of(completion)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_content_of_a_form_may_be_a_call_instead(client, seed):
    completion = client.chat.completions.create(
        **asked(seed, response_format=ONE_WORD, parallel_tool_calls=False)
    )
    message = completion.choices[0].message
    assert (message.content == '"yes"') is not bool(calls_of(completion))


@pytest.mark.parametrize("seed", range(4))
def test_strict_tools_are_called_by_their_schemas_among_any_words(client, seed):
    strict = [each | {"function": each["function"] | {"strict": True}} for each in TOOLS]
    bias = {str(tiny.tiny_tokenizer().marks["<tool_call>"]): 8.0}
    completion = client.chat.completions.create(
        **asked(seed, tools=strict, logit_bias=bias, max_tokens=200)
    )
    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    assert calls, "biased to call"
    complete = calls if choice.finish_reason == "tool_calls" else calls[:-1]
    for call in complete:
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


def test_a_response_calls_the_function_that_is_named(client):
    choice: Any = {"type": "function", "name": "get_weather"}
    tools: Any = [{"type": "function", **each["function"], "strict": True} for each in TOOLS]
    response = client.responses.create(
        model="tiny",
        input="What is the weather?",
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=False,
    )
    (call,) = response.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    jsonschema.validate(json.loads(call.arguments), WEATHER)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_time"}])
def test_a_message_uses_a_tool_where_it_must(server, choice):
    tools: Any = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
    wanted: Any = choice | {"disable_parallel_tool_use": True}
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as asking:
        message = asking.messages.create(
            model="tiny",
            max_tokens=130,
            messages=[{"role": "user", "content": "What time is it?"}],
            tools=tools,
            tool_choice=wanted,
        )
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert block.type == "tool_use"
    assert block.name in ({choice["name"]} if "name" in choice else SCHEMAS)
    jsonschema.validate(block.input, SCHEMAS[block.name])


class Forecast(pydantic.BaseModel):
    """What both clients parse answers to."""

    city: Literal["Paris", "Oslo"]
    is_sure: bool


def test_both_clients_parse_what_is_answered_by_a_class(client, server):
    said = "What is the weather?"
    response = client.responses.parse(model="tiny", input=said, text_format=Forecast)
    assert isinstance(response.output_parsed, Forecast)
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as asking:
        message = asking.messages.parse(
            model="tiny",
            max_tokens=100,
            messages=[{"role": "user", "content": said}],
            output_format=Forecast,
        )
    assert isinstance(message.parsed_output, Forecast)


def test_a_response_is_an_object_where_no_schema_is_given(client):
    wanted: Any = {"format": {"type": "json_object"}}
    response = client.responses.create(
        model="tiny", input="What?", text=wanted, max_output_tokens=20
    )
    assert response.output_text.startswith("{")
    assert response.text.to_dict() == wanted
