"""The convolution sees a request's tokens, wherever the chunks are cut, and nothing else."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from support.ragged import ragged
from support.recurrences import ROWS, SCRATCH, TOKENS, Step, steps

from radixloom_runtime.ops.short_conv import Windows, short_conv

CHANNELS, TAPS = 3, 4
LAYERS, LAYER = 2, 1

compiled = jax.jit(short_conv)


def check(drawn: list[Step], seed: int) -> None:
    generator = np.random.default_rng(seed)
    taps = generator.normal(size=(TAPS, CHANNELS)).astype(np.float32)
    before = generator.normal(size=(LAYERS, ROWS + 1, TAPS - 1, CHANNELS)).astype(np.float32)
    windows = jnp.asarray(before)
    seen: dict[int, np.ndarray] = {}
    for step in drawn:
        inputs = generator.normal(size=(TOKENS, CHANNELS)).astype(np.float32)
        chunks: list[tuple[int, int, int]] = []
        expected: list[np.ndarray] = []
        token = 0
        for row, begins, length in step:
            past = np.zeros((0, CHANNELS)) if begins or row not in seen else seen[row]
            seen[row] = np.concatenate([past, inputs[token : token + length]])
            padded = np.concatenate([np.zeros((TAPS - 1, CHANNELS)), seen[row]])
            expected += [
                np.sum(taps * padded[i : i + TAPS], axis=0)
                for i in range(len(past), len(seen[row]))
            ]
            chunks.append((row, len(past), length))
            token += length
        batch, rows = ragged(chunks, num_lines=ROWS, num_tokens=TOKENS, scratch=SCRATCH)
        out, windows = compiled(inputs, taps, Windows(windows, jnp.int32(LAYER), rows), batch)
        np.testing.assert_allclose(out[:token], expected, atol=1e-5)
    for row, inputs in seen.items():
        padded = np.concatenate([np.zeros((TAPS - 1, CHANNELS)), inputs])
        np.testing.assert_allclose(windows[LAYER, row], padded[1 - TAPS :], atol=1e-6)
    np.testing.assert_array_equal(windows[0], before[0])
    for row in set(range(ROWS)) - set(seen):
        np.testing.assert_array_equal(windows[LAYER, row], before[LAYER, row])


def test_chunks_of_one_two_and_many_tokens_go_on_where_the_last_one_ended():
    check([[(0, True, 1), (1, True, 2), (2, True, 9)]] + [[(0, False, 1), (1, False, 2)]] * 3, 0)


def test_a_row_forgets_its_last_owner():
    check([[(0, True, 9), (1, True, 5)], [(0, True, 1), (1, True, 2)], [(0, False, 3)]], 1)


@pytest.mark.slow
@given(drawn=steps(), seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_however_requests_are_cut_the_convolution_is_the_same(drawn, seed):
    check(drawn, seed)
