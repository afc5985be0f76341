"""Layers of several kinds are traced once for each group that repeats."""

import pytest

from radixloom_runtime.models.stack import LayerKind, repeating_groups

A, L, S = LayerKind(), LayerKind(is_linear=True), LayerKind(is_sparse=True)


@pytest.mark.parametrize(
    ("kinds", "groups"),
    [
        ((A,) * 5, [((A,), 5)]),
        ((A, S, S, S), [((A,), 1), ((S,), 3)]),
        ((L, L, L, A) * 12, [((L, L, L, A), 12)]),
        ((A, S) * 3, [((A, S), 3)]),
        ((L, A, L, A, L), [((L, A), 2), ((L,), 1)]),
        ((S, L, A, L, L, A, L, L, A), [((S, L, A), 1), ((L, L, A), 2)]),
        ((A, L, S), [((A,), 1), ((L,), 1), ((S,), 1)]),
    ],
)
def test_the_fewest_layers_are_traced(kinds, groups):
    assert repeating_groups(kinds) == groups
