"""Choosing experts, against the same in plain numpy, token by token."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.ops import routing

NUM_EXPERTS = 12


def scores_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(9, NUM_EXPERTS)).astype(np.float32)


@given(
    seed=st.integers(0, 1000),
    num_groups=st.sampled_from([2, 3, 4, 6]),
    share=st.floats(0, 1),
    num_best=st.integers(1, 2),
)
@settings(max_examples=40, deadline=None)
def test_only_scores_of_the_best_groups_are_left(seed, num_groups, share, num_best):
    scores, chosen = scores_of(seed), 1 + int(share * (num_groups - 1))
    found = routing.within_best_groups(
        jnp.asarray(scores), num_groups=num_groups, groups_per_token=chosen, num_best=num_best
    )
    size = NUM_EXPERTS // num_groups
    for token, row in enumerate(scores):
        groups = [row[i * size : (i + 1) * size] for i in range(num_groups)]
        worth = [sum(sorted(group)[-num_best:]) for group in groups]
        best = np.argsort(worth)[-chosen:]
        expected = [row[e] if e // size in best else -np.inf for e in range(NUM_EXPERTS)]
        np.testing.assert_array_equal(found[token], expected)


def test_experts_are_the_highest_scores_and_weigh_by_scores_of_their_own():
    ranked, scores = scores_of(1), np.abs(scores_of(2))
    experts = np.asarray(routing.best_experts(jnp.asarray(ranked), 3))
    weights = routing.weigh(jnp.asarray(scores), experts, normalize=True, scale=2.5)
    for token in range(9):
        best = np.argsort(-ranked[token])[:3]
        assert experts[token].tolist() == best.tolist()
        share = scores[token, best] / scores[token, best].sum()
        np.testing.assert_allclose(weights[token], 2.5 * share, rtol=1e-6)


def test_weights_that_are_not_normalized_are_the_scores():
    scores = np.abs(scores_of(3))
    experts = jnp.asarray([[1, 4]] * 9)
    weights = routing.weigh(jnp.asarray(scores), experts, normalize=False, scale=1.0)
    np.testing.assert_array_equal(weights, scores[:, [1, 4]])
