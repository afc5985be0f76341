"""Frames between server and engine: what is written is read, and nothing else is."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from radixloom_runtime.wire import codec
from radixloom_runtime.wire.codec import WireError
from radixloom_runtime.wire.messages import (
    WIRE_VERSION,
    Abort,
    Drain,
    EngineMessage,
    Failed,
    Output,
    Ready,
    Rejected,
    Sampling,
    ServerMessage,
    Starting,
    Stats,
    Submit,
    TokenLogprobs,
)

numbers = st.integers(-(2**62), 2**62)
reals = st.floats(allow_nan=False)
texts = st.text(max_size=8)
of_type = {
    bool: st.booleans(),
    int: numbers,
    float: reals,
    str: texts,
    dict[str, float]: st.dictionaries(texts, reals),
}
tokens = st.lists(st.integers(0, 2**31), max_size=4)
token_logprobs = st.builds(
    TokenLogprobs,
    token_id=numbers,
    logprob=reals,
    top_ids=tokens,
    top_logprobs=st.lists(reals, max_size=3),
)


def plain(kind: type[msgspec.Struct]) -> st.SearchStrategy:
    """Any value of a struct whose fields are numbers, texts and maps of them."""
    fields = {field.name: of_type[field.type] for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **fields)


samplings = st.builds(
    Sampling,
    temperature=reals,
    top_p=reals,
    top_k=numbers,
    seed=numbers,
    repetition_penalty=reals,
    logit_bias=st.dictionaries(st.integers(0, 2**31), reals, max_size=3),
)
submits = st.builds(
    Submit,
    request_id=texts,
    prompt_ids=tokens,
    max_tokens=numbers,
    sampling=samplings,
    stop_token_ids=tokens,
    min_tokens=numbers,
    logprobs=st.none() | numbers,
    prompt_logprobs=st.none() | numbers,
    priority=numbers,
)
outputs = st.builds(
    Output,
    request_id=texts,
    token_ids=tokens,
    logprobs=st.none() | st.lists(token_logprobs, max_size=3),
    prompt_logprobs=st.none() | st.lists(st.none() | token_logprobs, max_size=3),
    cached_tokens=numbers,
    finish_reason=st.none() | texts,
)
rejections = st.builds(
    Rejected, request_id=texts, message=texts, retry_after_seconds=st.none() | reals
)
server_messages = st.one_of(submits, plain(Abort), st.just(Drain()))
engine_messages = st.one_of(
    outputs, rejections, plain(Starting), plain(Ready), plain(Stats), plain(Failed)
)


@given(messages=st.lists(server_messages, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_the_server_sends_is_what_the_engine_reads(messages: list[ServerMessage]):
    assert codec.decode_from_server(codec.encode(messages)) == messages


@given(messages=st.lists(engine_messages, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_the_engine_sends_is_what_the_server_reads(messages: list[EngineMessage]):
    assert codec.decode_from_engine(codec.encode(messages)) == messages


@given(frame=st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_and_nothing_else_is_raised(frame: bytes):
    for decode in (codec.decode_from_engine, codec.decode_from_server):
        for bytes_ in (frame, bytes([WIRE_VERSION]) + frame):
            try:
                decode(bytes_)
            except WireError:
                continue
            assert bytes_[:1] == bytes([WIRE_VERSION])
            assert bytes_[1] >> 4 == 9 or bytes_[1] in (0xDC, 0xDD), "only lists are read"


def test_a_frame_of_another_version_is_refused_with_both_numbers():
    frame = bytes([WIRE_VERSION + 1]) + codec.encode([Drain()])[1:]
    with pytest.raises(WireError, match=f"version {WIRE_VERSION}, found {WIRE_VERSION + 1}"):
        codec.decode_from_server(frame)


def test_an_empty_frame_is_refused():
    with pytest.raises(WireError, match="found nothing"):
        codec.decode_from_server(b"")


def test_a_message_of_the_other_direction_is_refused():
    with pytest.raises(WireError, match="no list of known messages"):
        codec.decode_from_engine(codec.encode([Abort("a")]))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Explode"},
        {"type": "Abort", "request_id": "a", "when": "now"},
        {"type": "Abort"},
        {"type": "Abort", "request_id": 5},
    ],
    ids=["unknown tag", "unknown field", "missing field", "wrong type"],
)
def test_what_is_not_exactly_a_known_message_is_refused(fields):
    frame = bytes([WIRE_VERSION]) + msgspec.msgpack.encode([fields])
    with pytest.raises(WireError, match="no list of known messages"):
        codec.decode_from_server(frame)
