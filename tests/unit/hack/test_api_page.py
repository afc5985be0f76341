"""docs/api.md says what the code does, and of every OpenAI parameter what becomes of it."""

import pytest
from anthropic.types import message_count_tokens_params as counts
from anthropic.types import message_create_params as messages
from openai.types import completion_create_params as completions
from openai.types.chat import completion_create_params as chats
from openai.types.responses import response_create_params as responses

from hack import api_page
from hack.api_page import PAGE, form_of, page
from hack.api_sources import SOURCES
from radixloom_runtime.server import unsupported
from radixloom_runtime.server.anthropic.schema import (
    UNSUPPORTED,
    CountTokensRequest,
    MessagesRequest,
)
from radixloom_runtime.server.responses import schema as response_schema
from radixloom_runtime.server.responses.schema import ResponseRequest
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_completions import CompletionRequest

OPENAI = {
    ChatRequest: {*chats.CompletionCreateParamsBase.__annotations__, "stream"},
    CompletionRequest: {*completions.CompletionCreateParamsBase.__annotations__, "stream"},
}
ANTHROPIC = {
    MessagesRequest: {*messages.MessageCreateParamsBase.__annotations__, "stream"},
    CountTokensRequest: {*counts.MessageCountTokensParams.__annotations__},
}
HEADERS = {"workspace_id"}
"""What the client library takes as a parameter, and sends as a header."""
REFUSED = {ChatRequest: unsupported.CHAT, CompletionRequest: unsupported.COMPLETIONS}


def test_the_page_is_what_make_docs_writes():
    assert PAGE.read_text("utf-8") == page(), "`make docs` renews it"


def test_make_docs_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(api_page, "PAGE", tmp_path / "api.md")
    assert api_page.main() == 0
    assert (tmp_path / "api.md").read_text("utf-8") == page()


@pytest.mark.parametrize("kind", OPENAI)
def test_every_parameter_of_openais_works_or_is_refused_by_name(kind):
    known = kind.model_fields.keys() | REFUSED[kind].keys() | unsupported.WITHOUT_EFFECT
    assert OPENAI[kind] <= known


@pytest.mark.parametrize("kind", ANTHROPIC)
def test_every_parameter_of_anthropics_works_or_is_refused_by_name(kind):
    assert ANTHROPIC[kind] <= kind.model_fields.keys() | UNSUPPORTED.keys() | HEADERS


def test_every_parameter_of_a_response_works_or_is_refused_by_name():
    known = ResponseRequest.model_fields.keys() | response_schema.UNSUPPORTED.keys()
    openais = {*responses.ResponseCreateParamsBase.__annotations__, "stream"}
    assert openais <= known | response_schema.WITHOUT_EFFECT


@pytest.mark.parametrize("kind", OPENAI)
def test_a_parameter_is_openais_or_its_source_is_told(kind):
    others = kind.model_fields.keys() - set[str]().union(*OPENAI.values())
    assert others <= SOURCES.keys()
    assert not SOURCES.keys() & OPENAI[kind]


@pytest.mark.parametrize("kind", [*OPENAI, *ANTHROPIC, ResponseRequest])
def test_every_parameter_says_what_it_means(kind):
    assert [name for name, found in kind.model_fields.items() if not found.description] == []


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, "integer ≥ 1"),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "list of string (at most 3)",
        ),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"$ref": "#/$defs/X"}, "number > 0, ≤ 2.5"),
    ],
)
def test_a_form_is_told_in_a_few_words(schema, form):
    definitions = {"X": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5}}
    assert form_of(schema, definitions) == form
