"""Prompts that are drawn."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.commands.bench.dataset import FIRST_ID, Prompts, make
from radixloom_runtime.errors import ConfigurationError

wanted = st.builds(
    Prompts,
    num_prompts=st.integers(0, 8),
    own_tokens=st.integers(1, 20),
    prefix_tokens=st.integers(0, 20),
    vocab_size=st.integers(FIRST_ID + 1, 20_000),
    seed=st.tuples(st.integers(0, 9), st.integers(0, 1)),
)


@given(wanted)
def test_prompts_have_the_wanted_number_length_prefix_and_ids(wanted: Prompts):
    prompts = make(wanted)
    assert len(prompts) == wanted.num_prompts
    for prompt in prompts:
        assert len(prompt) == wanted.prefix_tokens + wanted.own_tokens
        assert prompt[: wanted.prefix_tokens] == prompts[0][: wanted.prefix_tokens]
        assert all(FIRST_ID <= token_id < wanted.vocab_size for token_id in prompt)


@given(wanted)
def test_the_same_seed_draws_the_same_prompts(wanted: Prompts):
    assert make(wanted) == make(wanted)


def test_own_parts_differ_and_so_does_the_warm_up():
    measured = Prompts(4, own_tokens=16, prefix_tokens=16, vocab_size=10_000, seed=(0, 0))
    prompts = make(measured) + make(replace(measured, seed=(0, 1)))
    assert len({tuple(prompt) for prompt in prompts}) == 8
    assert prompts[0][:16] != prompts[4][:16]


def test_a_vocabulary_without_ordinary_ids_is_refused():
    with pytest.raises(ConfigurationError, match="--vocab-size 1000"):
        make(Prompts(1, own_tokens=1, prefix_tokens=0, vocab_size=1000, seed=(0, 0)))
