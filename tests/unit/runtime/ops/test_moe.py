"""Routing and grouped products against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.ops import moe


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


@pytest.mark.parametrize("normalize", [True, False])
def test_tokens_get_the_weighted_sum_of_their_best_experts(normalize):
    generator = np.random.default_rng(3)
    tokens = generator.normal(size=(11, 4)).astype(np.float32)
    scores = generator.normal(size=(11, 6)).astype(np.float32)
    matrices = generator.normal(size=(6, 4, 4)).astype(np.float32)
    with jax.default_matmul_precision("highest"):
        routing = moe.route(jnp.asarray(scores), 2, normalize=normalize)
        rows = moe.grouped_matmul(
            jnp.asarray(tokens)[routing.token_of_row], jnp.asarray(matrices), routing.group_sizes
        )
        found = moe.combine(rows, routing, 11)
    shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    for token in range(11):
        best = np.argsort(-shares[token])[:2]
        weights = shares[token, best]
        weights = weights / weights.sum() if normalize else weights
        expected = sum(w * tokens[token] @ matrices[e] for w, e in zip(weights, best, strict=True))
        np.testing.assert_allclose(found[token], expected, atol=1e-5)
    assert int(routing.group_sizes.sum()) == 22
