"""The blocked kernel against the formula, on ragged batches with scattered pages."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.attention_cases import (
    MIXED,
    Shape,
    batch_of,
    batches,
    check,
    forms,
    guessing_case,
    make_case,
    pages_dtypes,
    windows,
)

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.attention_blocks import BLOCK_TOKENS
from radixloom_runtime.ops.attention_cpu import CPUAttention

SMALL = Shape(4, 2, 16)


def check_mixed(shape: Shape, form: Form, **options) -> None:
    check(CPUAttention(), make_case(batch_of(*MIXED), shape), shape, form, **options)


@pytest.mark.parametrize(
    ("decodes", "prompts", "shape"),
    [
        ((0, 17, 300, 5), (), Shape(9, 3, 64)),
        (*MIXED, Shape(4, 1, 80)),
        ((), ((0, 1), (63, 66)), Shape(4, 4, 128, page_tokens=8)),
        ((), ((130, 16), (5, 17), (0, 80), (40, 3)), Shape(4, 2, 16)),
    ],
    ids=[
        "decodes of 9/3 heads",
        "mixed, one kv head",
        "no grouping, small pages",
        "whole blocks and short rests",
    ],
)
def test_attention_equals_the_formula(decodes, prompts, shape):
    case = make_case(batch_of(decodes, prompts), shape)
    check(CPUAttention(), case, shape, Form(scale=shape.head_dim**-0.5))


@pytest.mark.parametrize(
    "window", [16, *(pytest.param(window, marks=pytest.mark.slow) for window in (1, 130, 1 << 30))]
)
def test_a_token_sees_no_more_than_its_window(window):
    check_mixed(SMALL, Form(scale=0.25), window=window)


@pytest.mark.slow
def test_guesses_of_one_request_see_each_other():
    shape = Shape(4, 2, 64)
    check(CPUAttention(), guessing_case(range(126, 131), shape), shape, Form(scale=0.125))


@pytest.mark.slow
def test_sinks_take_their_share_of_the_softmax():
    check_mixed(SMALL, Form(scale=0.25), window=24, with_sinks=True)
    check_mixed(SMALL, Form(scale=0.25), with_sinks=True)


def test_scores_are_capped_softly():
    check_mixed(SMALL, Form(scale=1.0, soft_cap=4.0))


def test_a_latent_is_key_and_value_of_all_heads():
    check_mixed(Shape(4, 1, 40, value_dim=32), Form(scale=0.2, value_dim=32))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SMALL, Shape(4, 1, 40, value_dim=32)], ids=["heads", "latent"])
@pytest.mark.parametrize("pages_dtype", ["float8_e4m3fn", "int8"])
def test_pages_of_eight_bits_are_read_as_what_they_know(shape, pages_dtype):
    form = Form(scale=0.2, value_dim=shape.value_dim)
    check_mixed(shape, form, window=100, with_sinks=True, pages_dtype=pages_dtype)


def test_blocks_outside_the_window_and_beyond_the_end_are_not_read():
    check_mixed(SMALL, Form(scale=0.25), window=20, reads=(BLOCK_TOKENS, BLOCK_TOKENS))


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=batches(page_tokens=16, most_tokens=64),
    form=forms,
    window=windows,
    sinks=st.booleans(),
    pages_dtype=pages_dtypes,
)
def test_any_batch_equals_the_formula(batch, form, window, sinks, pages_dtype):
    case = make_case(batch, SMALL, num_tokens=64)
    how = {"window": window, "with_sinks": sinks, "pages_dtype": pages_dtype}
    check(CPUAttention(), case, SMALL, form, **how)
