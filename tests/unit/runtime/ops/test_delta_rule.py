"""Blocks and single tokens give what the recurrence is defined as, however a request is cut."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from support.ragged import ragged
from support.recurrences import ROWS, SCRATCH, TOKENS, Doubles, Rows, Step, advance, steps

from radixloom_runtime.ops.delta_rule import DeltaTokens, States, delta_rule

KEY_HEADS, HEADS, KEY_DIM, VALUE_DIM = 2, 4, 6, 5
LAYERS, LAYER = 2, 1

compiled = jax.jit(delta_rule)


def random_tokens(
    generator: np.random.Generator, *, per_number: bool, fading: float, alike: bool
) -> DeltaTokens:
    """Keys of length one; all nearly the same if `alike`, which is hardest to solve."""

    def unit(*shape: int) -> np.ndarray:
        x = generator.normal(size=shape)
        if alike:
            x = x[:1] + 1e-3 * x
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    decays = -fading * generator.exponential(size=(TOKENS, HEADS, KEY_DIM if per_number else 1))
    return DeltaTokens(
        queries=unit(TOKENS, KEY_HEADS, KEY_DIM),
        keys=unit(TOKENS, KEY_HEADS, KEY_DIM),
        values=generator.normal(size=(TOKENS, HEADS, VALUE_DIM)).astype(np.float32),
        decays=decays.astype(np.float32),
        betas=generator.uniform(size=(TOKENS, HEADS)).astype(np.float32),
    )


def expected(tokens: DeltaTokens, chunks: list[tuple[int, int, int]], rows: Rows) -> Doubles:
    """Go through a step token by token; changes what is kept for the rows."""
    wide = DeltaTokens(*(np.asarray(part, np.float64) for part in tokens))
    out = np.zeros((TOKENS, HEADS, VALUE_DIM))
    token = 0
    for row, start, length in chunks:
        if not start:
            rows.kept[row] = np.zeros((HEADS, KEY_DIM, VALUE_DIM))
        for _ in range(length):
            for head in range(HEADS):
                shared = head // (HEADS // KEY_HEADS)
                out[token, head], rows.kept[row][head] = advance(
                    rows.kept[row][head],
                    wide.queries[token, shared],
                    wide.keys[token, shared],
                    wide.values[token, head],
                    wide.decays[token, head],
                    float(wide.betas[token, head]),
                )
            token += 1
    return out


def check(drawn: list[Step], seed: int, *, per_number: bool, fading: float, alike: bool) -> None:
    generator = np.random.default_rng(seed)
    # What former owners left in the rows, and what other layers keep, is not to be seen.
    before = generator.normal(size=(LAYERS, ROWS + 1, HEADS, KEY_DIM, VALUE_DIM))
    states, rows = jnp.asarray(before, jnp.float32), Rows()
    for step in drawn:
        tokens = random_tokens(generator, per_number=per_number, fading=fading, alike=alike)
        chunks = rows.place(step)
        batch, rows_of = ragged(chunks, num_lines=ROWS, num_tokens=TOKENS, scratch=SCRATCH)
        where = States(states, jnp.int32(LAYER), rows_of)
        with jax.default_matmul_precision("highest"):
            out, states = compiled(tokens, where, batch)
        np.testing.assert_allclose(out, expected(tokens, chunks, rows), atol=2e-4)
    for row, kept in rows.kept.items():
        np.testing.assert_allclose(states[LAYER, row], kept, atol=2e-4)
    np.testing.assert_array_equal(states[0], before[0].astype(np.float32))
    for row in set(range(ROWS)) - set(rows.kept):
        np.testing.assert_array_equal(states[LAYER, row], before[LAYER, row].astype(np.float32))


TWO_OWNERS: list[Step] = [[(0, True, 1), (1, True, 70)], [(1, False, 1), (0, True, 37)]]


@pytest.mark.parametrize("per_number", [False, True], ids=["per head", "per number"])
@pytest.mark.parametrize("fading", [0.0, 0.1, 30.0])
@pytest.mark.parametrize("alike", [False, True])
def test_a_row_gives_what_the_recurrence_gives(per_number, fading, alike):
    check(TWO_OWNERS, 0, per_number=per_number, fading=fading, alike=alike)


@pytest.mark.slow
@given(
    drawn=steps(),
    seed=st.integers(0, 1000),
    per_number=st.booleans(),
    fading=st.sampled_from([0.0, 0.01, 1.0, 100.0]),
    alike=st.booleans(),
)
@example(
    drawn=[[(0, True, 100)], [(0, False, 100)]],
    seed=1,
    per_number=True,
    fading=0.1,
    alike=False,
)
@settings(max_examples=150, deadline=None)
def test_however_requests_are_cut_the_recurrence_is_the_same(
    drawn, seed, per_number, fading, alike
):
    check(drawn, seed, per_number=per_number, fading=fading, alike=alike)
