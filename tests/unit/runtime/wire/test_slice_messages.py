"""What hosts say to each other: what is written is read, plans whole, and nothing else is."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from radixloom_runtime.wire import slice_messages
from radixloom_runtime.wire.messages import Sampling
from radixloom_runtime.wire.plan import Chunk, PageGrant, PageMove, RowStart, StepPlan
from radixloom_runtime.wire.slice_messages import (
    Beat,
    Begin,
    Drain,
    End,
    Hello,
    Join,
    Progress,
    Refused,
    Run,
    SliceMessageError,
    Warm,
    Welcome,
)

ids = st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)
numbers = st.integers(0, 2**31 - 1)
samplings = st.builds(
    Sampling, seed=st.integers(0, 2**32 - 1), logit_bias=st.dictionaries(numbers, st.floats(-9, 9))
)
plans = st.builds(
    StepPlan,
    number=numbers,
    starts=st.lists(
        st.builds(
            RowStart,
            row=numbers,
            sampling=samplings,
            history_ids=ids,
            prompt_length=numbers,
            stop_token_ids=ids,
            min_position=numbers,
        ),
        max_size=3,
    ).map(tuple),
    grants=st.lists(
        st.builds(PageGrant, row=numbers, first_index=numbers, page_ids=ids), max_size=3
    ).map(tuple),
    chunks=st.lists(
        st.builds(
            Chunk,
            row=numbers,
            start=numbers,
            token_ids=ids,
            samples=st.booleans(),
            top_logprobs=st.none() | st.integers(0, 20),
            prompt_logprobs=st.none() | st.integers(0, 20),
            next_ids=ids,
            guessed_ids=ids,
        ),
        max_size=3,
    ).map(tuple),
    moves=st.lists(
        st.builds(PageMove, page_id=numbers, slot=numbers, to_host=st.booleans()), max_size=3
    ).map(tuple),
)


@given(plans)
def test_a_follower_reads_the_plan_that_the_leader_wrote(plan: StepPlan):
    assert slice_messages.decode_from_leader(slice_messages.encode(Run(plan))) == Run(plan)


@pytest.mark.parametrize(
    "message", [Welcome(b"n", b"s"), Refused(b"n", "why"), Begin(), Beat(), Drain(), End("why")]
)
def test_what_a_leader_says_is_read_as_it_was(message):
    assert slice_messages.decode_from_leader(slice_messages.encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Hello(b"n"),
        Join({"jax": "1"}),
        Progress("weights", 1.0, 2.0, "bytes"),
        Warm({"num_pages": 3}),
    ],
)
def test_what_a_follower_says_is_read_as_it_was(message):
    assert slice_messages.decode_from_follower(slice_messages.encode(message)) == message


@pytest.mark.parametrize("payload", [b"", b"\xc1", slice_messages.encode(Begin())])
def test_what_no_follower_says_is_refused(payload: bytes):
    with pytest.raises(SliceMessageError, match="no message of a follower"):
        slice_messages.decode_from_follower(payload)


def test_a_plan_with_a_field_of_the_wrong_type_is_refused():
    payload = slice_messages.encode(Run(StepPlan(0, (), (), ()))).replace(
        b"\xa6number\x00", b"\xa6number\xc3"
    )
    with pytest.raises(SliceMessageError, match="number"):
        slice_messages.decode_from_leader(payload)
