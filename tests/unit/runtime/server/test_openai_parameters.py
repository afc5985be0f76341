"""Every parameter of OpenAI's chat schema, each with what it does here.

Each works, and then changes the order or the answer as `Works` says; or is a 400 that names it; or
has no effect, since it never changes an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from openai.types.chat import completion_create_params
from support.http_server import HttpServer
from support.ready import ready
from support.tiny import FOLDER

from radixloom_runtime.server import catalog, chat
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.wire.messages import Submit

MODEL = "tiny_tokenizer"
BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
SERVING = Serving(catalog.load(FOLDER, MODEL), ready(max_model_len=256))
TOOL = {"type": "function", "function": {"name": "f"}}


@dataclass(frozen=True)
class Works:
    """What the engine is asked for, or what the client is told."""

    body: dict[str, Any]
    order: Callable[[Order, Submit], bool] = lambda _order, _submit: True
    answer: Callable[[dict[str, Any]], bool] = lambda _answer: True


@dataclass(frozen=True)
class Refused:
    """A value that asks for something."""

    value: Any


@dataclass(frozen=True)
class WithoutEffect:
    """Any value."""

    value: Any


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["choices"][0]


def _tokens(answer: dict[str, Any]) -> int:
    return answer["usage"]["completion_tokens"]


PARAMETERS: dict[str, Works | Refused | WithoutEffect] = {
    "audio": Refused({"voice": "alloy", "format": "wav"}),
    "frequency_penalty": Works(
        {"frequency_penalty": 0.5}, order=lambda _, submit: submit.sampling.frequency_penalty == 0.5
    ),
    "function_call": Refused("auto"),
    "functions": Refused([{"name": "f"}]),
    "logit_bias": Works(
        {"logit_bias": {"5": -1}}, order=lambda _, submit: submit.sampling.logit_bias == {5: -1}
    ),
    "logprobs": Works(
        {"logprobs": True},
        order=lambda _, submit: submit.logprobs == 0,
        answer=lambda answer: bool(_choice(answer)["logprobs"]["content"]),
    ),
    "max_completion_tokens": Works(
        {"max_completion_tokens": 2}, answer=lambda answer: _tokens(answer) == 2
    ),
    "max_tokens": Works({"max_tokens": 2}, answer=lambda answer: _tokens(answer) == 2),
    "messages": Works(
        {"messages": [{"role": "user", "content": "other"}]},
        answer=lambda answer: _choice(answer)["message"]["content"] == "user\nother",
    ),
    "metadata": WithoutEffect({"a": "b"}),
    "modalities": Refused(["text", "audio"]),
    "model": Works({"model": MODEL}, answer=lambda answer: answer["model"] == MODEL),
    "moderation": Refused({"mode": "strict"}),
    "n": Works({"n": 2}, answer=lambda answer: len(answer["choices"]) == 2),
    "parallel_tool_calls": Works(
        {"parallel_tool_calls": False, "tools": [TOOL]},
        order=lambda order, _: order.reading.one_call,
    ),
    "prediction": Refused({"type": "content", "content": "x"}),
    "presence_penalty": Works(
        {"presence_penalty": 0.5}, order=lambda _, submit: submit.sampling.presence_penalty == 0.5
    ),
    "prompt_cache_key": WithoutEffect("x"),
    "prompt_cache_options": Refused({"mode": "explicit"}),
    "prompt_cache_retention": Refused("24h"),
    "reasoning_effort": Refused("low"),  # by this model's template; see test_chat_prompt
    "response_format": Works(  # what it does to answers: see test_guided
        {"response_format": {"type": "json_object"}},
        order=lambda _, submit: '"object"' in submit.grammar,
    ),
    "safety_identifier": WithoutEffect("x"),
    "seed": Works({"seed": 7}, order=lambda order, _: order.seed == 7),
    "service_tier": Refused("flex"),
    "stop": Works(
        {"stop": "ell"}, answer=lambda answer: _choice(answer)["message"]["content"] == "user\nh"
    ),
    "store": Refused(value=True),
    "stream_options": Works({"stream": True, "stream_options": {"include_usage": True}}),
    "temperature": Works(
        {"temperature": 0.5}, order=lambda _, submit: submit.sampling.temperature == 0.5
    ),
    "tool_choice": Works(
        {"tool_choice": "none", "tools": [TOOL]},
        order=lambda order, _: not order.reading.tool_format,
    ),
    "tools": Works({"tools": [TOOL]}, order=lambda order, _: order.reading.tool_format == "hermes"),
    "top_logprobs": Works(
        {"logprobs": True, "top_logprobs": 20},
        order=lambda _, submit: submit.logprobs == 20,
        answer=lambda answer: len(_choice(answer)["logprobs"]["content"][0]["top_logprobs"]) == 20,
    ),
    "top_p": Works({"top_p": 0.5}, order=lambda _, submit: submit.sampling.top_p == 0.5),
    "user": Works({"user": "ada"}),
    "verbosity": Refused("low"),
    "web_search_options": Refused({"search_context_size": "low"}),
}


def _post(server: HttpServer, body: dict[str, Any]) -> Any:
    return server.client.post("/v1/chat/completions", json=BODY | body)


def test_the_table_has_every_parameter_of_openais():
    assert (
        PARAMETERS.keys()
        == completion_create_params.CompletionCreateParamsBase.__annotations__.keys()
    )


@pytest.mark.parametrize(
    "name", [name for name, what in PARAMETERS.items() if isinstance(what, Works)]
)
def test_a_parameter_works(server: HttpServer, name: str):
    what = PARAMETERS[name]
    assert isinstance(what, Works)
    assert name in what.body
    response = _post(server, what.body)
    assert response.status_code == 200, response.text
    if "stream" in what.body:
        assert '"usage":{' in response.text
    else:
        assert what.answer(response.json())
    order = chat.make_order(ChatRequest.model_validate(BODY | what.body), SERVING)
    submit = order.submit(order.prompts[0], request_id="r", seed=order.seed or 0, deadline=None)
    assert what.order(order, submit)


@pytest.mark.parametrize(
    "name", [name for name, what in PARAMETERS.items() if isinstance(what, Refused)]
)
def test_a_parameter_is_refused_by_name(server: HttpServer, name: str):
    what = PARAMETERS[name]
    assert isinstance(what, Refused)
    response = _post(server, {name: what.value})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, name)
    assert error["code"] == "unsupported_parameter"


@pytest.mark.parametrize(
    "name", [name for name, what in PARAMETERS.items() if isinstance(what, WithoutEffect)]
)
def test_a_parameter_has_no_effect(server: HttpServer, name: str):
    what = PARAMETERS[name]
    assert isinstance(what, WithoutEffect)
    with_it, without = (_post(server, body).json() for body in ({name: what.value}, {}))
    assert with_it["choices"] == without["choices"]
