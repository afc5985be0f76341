"""When a request ends, and which can never run."""

import pytest
from support.serving import LIMITS, request

from radixloom_runtime.scheduler.request import Request
from radixloom_runtime.scheduler.stopping import (
    end_of,
    finish_reason,
    first_stop_position,
    refusal,
)
from radixloom_runtime.wire.messages import Submit


def request_of(submit: Submit) -> Request:
    return Request(submit, 0, end_of(submit, LIMITS), frozenset(submit.stop_token_ids))


@pytest.mark.parametrize(
    ("token_id", "length", "reason"),
    [
        (7, 3, None),  # below min_tokens a stop token does not stop
        (7, 5, "stop"),
        (8, 5, None),
        (8, 6, "length"),
        (7, 6, "stop"),  # both at once: the model's own end is what the client is told
    ],
)
def test_a_request_ends_with_its_stop_token_or_its_length(token_id, length, reason):
    submit = request("a", [1, 2], max_tokens=4, min_tokens=2, stop_token_ids=[7])
    assert finish_reason(request_of(submit), token_id, length) == reason


def test_the_first_stop_position_comes_after_min_tokens_of_output():
    assert first_stop_position(request("a", [1, 2], min_tokens=3)) == 5


def test_an_answer_is_cut_at_the_context():
    assert end_of(request("a", [1] * 120, max_tokens=50), LIMITS) == LIMITS.max_model_len


@pytest.mark.parametrize(
    ("length", "max_tokens", "why"),
    [
        (1, 1, None),
        (127, 1, None),
        (128, 1, "the prompt has 128 tokens, the context of 128 leaves room for 127"),
        (128, 0, None),  # only judged, nothing is sampled
        (129, 0, "the prompt has 129 tokens, the context of 128 leaves room for 128"),
        (0, 1, "the prompt is empty"),
    ],
)
def test_a_prompt_must_leave_room_for_its_answer(length, max_tokens, why):
    found = refusal(request("a", [1] * length, max_tokens=max_tokens), LIMITS)
    assert (found is None) if why is None else (found is not None and found.startswith(why))
