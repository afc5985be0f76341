"""`text.format` of /v1/responses and `output_config.format` of /v1/messages, by their real clients.

The toy engine holds its answers to them, and samples among "!" to "U" alone.
"""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from support import echo_chats
from support.http_server import HttpServer
from support.toy_engine import toy_engine

NUMBER = {"type": "integer", "minimum": 10, "maximum": 99}
BAD = {"type": "string", "format": "nothing-known"}
WORDS: dict[str, Any] = {"model": "toy", "input": "!", "max_output_tokens": 40}
TURN: dict[str, Any] = {
    "model": "toy",
    "messages": [{"role": "user", "content": "!"}],
    "max_tokens": 40,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    folder = echo_chats.write_folder(tmp_path_factory.mktemp("checkpoint") / "toy", template)
    with HttpServer(toy_engine, model=folder) as running:
        yield running


@pytest.fixture(scope="module")
def openais(toy: HttpServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{toy.url}/v1", api_key="none", max_retries=0) as asking:
        yield asking


@pytest.fixture(scope="module")
def anthropics(toy: HttpServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=toy.url, api_key="none", max_retries=0) as asking:
        yield asking


def by_schema(schema: dict[str, Any]) -> Any:
    return {"format": {"type": "json_schema", "name": "n", "schema": schema}}


def test_a_response_is_what_its_format_says_and_tells_it_again(openais: openai.OpenAI):
    answer = openais.responses.create(**WORDS, text=by_schema(NUMBER))
    assert 10 <= int(answer.output_text) <= 99
    assert answer.text is not None
    assert answer.text.to_dict() == by_schema(NUMBER)


def test_a_stream_of_a_response_is_in_form_too(openais: openai.OpenAI):
    with openais.responses.stream(**WORDS, text=by_schema(NUMBER)) as stream:
        assert 10 <= int(stream.get_final_response().output_text) <= 99


def test_a_message_is_what_its_format_says(anthropics: anthropic.Anthropic):
    wanted: Any = {"format": {"type": "json_schema", "schema": NUMBER}}
    answer = anthropics.messages.create(**TURN, output_config=wanted)
    (block,) = answer.content
    assert block.type == "text"
    assert 10 <= int(block.text) <= 99
    with anthropics.messages.stream(**TURN, output_config=wanted) as stream:
        assert 10 <= int(stream.get_final_text()) <= 99


def test_a_schema_that_cannot_be_held_is_refused_by_each_apis_own_name(
    openais: openai.OpenAI, anthropics: anthropic.Anthropic
):
    with pytest.raises(openai.BadRequestError, match=r"text\.format: .*nothing-known") as caught:
        openais.responses.create(**WORDS, text=by_schema(BAD))
    assert caught.value.param == "text.format"
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format: .*nothing-known"):
        anthropics.messages.create(
            **TURN, output_config={"format": {"type": "json_schema", "schema": BAD}}
        )
