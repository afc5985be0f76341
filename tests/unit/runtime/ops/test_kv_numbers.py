"""What pages hold of a vector, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support import page_numbers

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.kv_numbers import has_scales, scale_of, to_floats, to_int8
from radixloom_runtime.ops.kv_rows import make_rows, read_rows, row_shape

_to_int8 = jax.jit(to_int8)

vectors = arrays.arrays(
    np.float32, (4, 16), elements=st.floats(-3e4, 3e4, width=32, allow_subnormal=False)
)


def restored(numbers, pair) -> np.ndarray:
    wide = pair.astype(jnp.int32)
    return np.asarray(numbers * scale_of(wide[..., :1], wide[..., 1:]))


@settings(max_examples=100, deadline=None)
@given(x=vectors)
def test_int8_is_off_by_half_a_step_at_most_and_a_step_is_a_127th_of_the_largest(x):
    numbers, pair = _to_int8(x)
    largest = np.abs(x).max(axis=-1, keepdims=True)
    # The scale is a bfloat16: up to 1/128 more than it had to be.
    step = largest / 127 * (1 + 1 / 128)
    assert (np.abs(restored(numbers, pair) - x) <= 0.5001 * step + 2e-36).all()


@settings(max_examples=100, deadline=None)
@given(x=vectors)
def test_int8_and_its_scales_are_those_of_numpy(x):
    numbers, scales = page_numbers.encoded(x, "int8")
    found = _to_int8(x)
    np.testing.assert_array_equal(found[0], numbers)
    np.testing.assert_array_equal(found[1], scales)


def test_a_vectors_scale_does_not_depend_on_its_neighbours():
    x = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    x[3] *= 1000
    alone = [_to_int8(row[None]) for row in x]
    together = _to_int8(x)
    for index, (numbers, pair) in enumerate(alone):
        np.testing.assert_array_equal(numbers[0], together[0][index])
        np.testing.assert_array_equal(pair[0], together[1][index])


def test_zeros_and_pages_that_nobody_wrote_are_zeros():
    zeros = jnp.zeros((2, 8), jnp.float32)
    assert not restored(*_to_int8(zeros)).any()
    assert not restored(jnp.zeros((2, 8), jnp.int8), jnp.zeros((2, 2), jnp.int8)).any()


def test_eight_bit_floats_stop_at_their_largest_number():
    found = to_floats(jnp.array([500.0, -1e9, 448.0, 0.3]), jnp.dtype("float8_e4m3fn"))
    assert found.astype(jnp.float32).tolist() == [448.0, -448.0, 448.0, 0.3125]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn", "int8"])
@pytest.mark.parametrize("value_dim", [None, 12])
def test_rows_give_back_what_pages_know_of_a_token(dtype, value_dim):
    generator = np.random.default_rng(1)
    heads = 1 if value_dim else 3
    keys = generator.normal(size=(5, heads, 16)).astype(np.float32)
    keys[..., 12:] *= 20
    values = None if value_dim else generator.normal(size=(5, heads, 16)).astype(np.float32)
    form = Form(scale=1.0, value_dim=value_dim)
    rows = make_rows(keys, values, form, jnp.dtype(dtype))
    latent = value_dim is not None
    assert rows.shape[1:] == row_shape(heads, 16, latent=latent, dtype=jnp.dtype(dtype))
    found_keys, found_values = read_rows(rows, form)
    expected = page_numbers.held(keys, dtype, value_dim)
    np.testing.assert_array_equal(found_keys, expected)
    kept = expected[..., :value_dim] if values is None else page_numbers.held(values, dtype)
    np.testing.assert_array_equal(found_values, kept)


def test_a_token_of_int8_takes_two_bytes_more_a_vector():
    int8, latent = jnp.dtype("int8"), {"latent": True, "dtype": jnp.dtype("int8")}
    assert has_scales(int8)
    assert row_shape(8, 128, latent=False, dtype=int8) == (16, 130)
    assert row_shape(1, 576, **latent) == (580,)


def test_near_ties_are_rounded_as_exact_numbers_would_be():
    x = np.random.default_rng(0).normal(size=(200_000, 8)).astype(np.float32)
    np.testing.assert_array_equal(_to_int8(x)[0], page_numbers.encoded(x, "int8")[0])
