"""LangChain's client of OpenAI's API."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from support import echo_chats
from support.demo_server import MODEL
from support.http_server import HttpServer, echo_engine

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Sunny in {city}."


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server whose answer is what the user said."""
    folder = echo_chats.write_folder(tmp_path_factory.mktemp("checkpoint") / "echo")
    with HttpServer(echo_engine(), model=folder) as running:
        yield running


def chat(server: HttpServer, model: str = "echo", **more: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=model, base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60, **more
    )


@pytest.mark.parametrize("use_responses_api", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_answer_sent_back(
    echo: HttpServer, use_responses_api: bool, stream: bool
):
    model = chat(echo, use_responses_api=use_responses_api).bind_tools([weather])
    asked = HumanMessage(CALL)
    if stream:
        first, *others = model.stream([asked])
        called: Any = first
        for chunk in others:
            called += chunk
    else:
        called = model.invoke([asked])
    [call] = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    answer = weather.invoke(call)
    assert isinstance(answer, ToolMessage)
    said = AIMessage(called.content, tool_calls=called.tool_calls)
    told = model.invoke([HumanMessage("Weather?"), said, answer, HumanMessage(" Thanks.")])
    assert told.text == "Weather? Thanks."


@pytest.mark.parametrize("use_responses_api", [False, True])
def test_tokens_are_counted_for_langchain(echo: HttpServer, use_responses_api: bool):
    answer = chat(echo, use_responses_api=use_responses_api).invoke("one two three")
    usage = answer.usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == usage["output_tokens"] > 0
    assert answer.response_metadata["model_name"] == "echo"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("use_responses_api", [False, True])
def test_a_real_model_answers_langchain(demo: HttpServer, use_responses_api: bool):
    model = chat(
        demo, MODEL, temperature=0.0, max_completion_tokens=24, use_responses_api=use_responses_api
    )
    messages = [SystemMessage("You answer in one sentence."), HumanMessage("Capital of France?")]
    whole = model.invoke(messages).text
    assert "Paris" in whole
    assert "".join(chunk.text for chunk in model.stream(messages)) == whole
