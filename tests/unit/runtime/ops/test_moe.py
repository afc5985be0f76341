"""Routing and grouped products against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.ops import moe


@pytest.mark.slow
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any))
@settings(max_examples=25, deadline=None)
def test_each_group_is_multiplied_by_its_own_matrix(sizes):
    generator = np.random.default_rng(sum(sizes))
    rows = generator.normal(size=(sum(sizes), 6)).astype(np.float32)
    matrices = generator.normal(size=(len(sizes), 6, 5)).astype(np.float32)
    found = moe.blocked_matmul(jnp.asarray(rows), jnp.asarray(matrices), jnp.array(sizes))
    expert_of_row = np.repeat(np.arange(len(sizes)), sizes)
    expected = np.einsum("mi,mio->mo", rows, matrices[expert_of_row])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_row_knows_its_expert_past_experts_without_rows():
    sizes = jnp.array([0, 2, 0, 3, 0])
    routing = moe.Routing(jnp.zeros(6, int), jnp.zeros(6), sizes)
    *in_a_group, beyond = moe.expert_of_row(routing).tolist()
    assert in_a_group == [1, 1, 3, 3, 3]
    assert 0 <= beyond < 5


def test_tokens_get_the_weighted_sum_of_their_experts():
    generator = np.random.default_rng(3)
    tokens = generator.normal(size=(11, 4)).astype(np.float32)
    matrices = generator.normal(size=(6, 4, 4)).astype(np.float32)
    experts = np.array([generator.permutation(6)[:2] for _ in range(11)])
    weights = generator.uniform(size=(11, 2)).astype(np.float32)
    with jax.default_matmul_precision("highest"):
        routing = moe.route(jnp.asarray(weights), jnp.asarray(experts), 6)
        rows = moe.grouped_matmul(
            jnp.asarray(tokens)[routing.token_of_row], jnp.asarray(matrices), routing.group_sizes
        )
        found = moe.combine(rows, routing, 11)
    for token in range(11):
        pairs = zip(weights[token], experts[token], strict=True)
        expected = sum(weight * tokens[token] @ matrices[expert] for weight, expert in pairs)
        np.testing.assert_allclose(found[token], expected, atol=1e-5)
    assert int(routing.group_sizes.sum()) == 22
