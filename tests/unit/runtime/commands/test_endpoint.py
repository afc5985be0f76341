"""Event streams however they are chunked, and servers that are not there."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.openai_stub import OpenAIStub, openai_stub

from radixloom_runtime.commands import endpoint
from radixloom_runtime.errors import ConfigurationError

texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=6)


@given(texts=texts, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(texts: list[str], cuts: list[int]):
    events = [json.dumps(text, ensure_ascii=False) for text in texts]
    stream = "".join(f"data: {event}\n\n" for event in events).encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = endpoint.EventDecoder()
    decoded = [
        event
        for start, end in itertools.pairwise(edges)
        for event in decoder.feed(stream[start:end])
    ]
    assert decoded == events


def test_comments_and_other_fields_are_no_events():
    stream = b": keep-alive\n\nevent: message\nid: 3\ndata: {}\r\n\r\n"
    assert list(endpoint.EventDecoder().feed(stream)) == ["{}"]


@pytest.mark.parametrize(
    ("event", "message"),
    [('{"error": {"message": "it died"}}', "it died"), ('{"error": "it died"}', "it died")],
)
def test_an_error_event_is_raised_with_its_message(event: str, message: str):
    with pytest.raises(ValueError, match=message):
        endpoint.parsed(event)


@pytest.mark.parametrize("event", ["[1]", "3", "{"])
def test_an_event_that_is_no_object_is_refused(event: str):
    with pytest.raises(ValueError, match=r"event|Expecting"):
        endpoint.parsed(event)


def test_an_error_answer_is_told_in_its_own_words():
    body = b'{"error": {"message": "top_k must be positive"}}'
    assert endpoint.problem(400, body) == "HTTP 400: top_k must be positive"
    assert endpoint.problem(502, b"<h1>Bad Gateway</h1>") == "HTTP 502: <h1>Bad Gateway</h1>"
    assert endpoint.problem(500, b"") == "HTTP 500: no reason given"


def test_the_servers_first_model_is_taken():
    with openai_stub() as stub:
        assert endpoint.only_model(stub.url) == "stub"


def test_a_server_without_a_model_is_told():
    with (
        openai_stub(OpenAIStub(model=None)) as stub,
        pytest.raises(ConfigurationError, match="--model"),
    ):
        endpoint.only_model(stub.url)


def test_where_nobody_answers_one_learns_what_to_do():
    with openai_stub() as gone:
        pass
    with pytest.raises(ConfigurationError, match="radixloom serve"):
        endpoint.only_model(gone.url)
