"""Products with matrices kept in few bits equal numpy's with the matrices that they stand for."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from radixloom_runtime.ops.moe import grouped_matmul
from radixloom_runtime.ops.quantized import (
    QuantizedMatrix,
    dense,
    exponents,
    multiply,
    pack_pairs,
)

E2M1 = "float4_e2m1fn"
KINDS = ["int4", "int8", "float8_e4m3fn", E2M1]


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def make(generator, kind, shape, groups, *, offsets=False, int8_activations=False):
    """A matrix, and in float64 what it stands for."""
    *many, num_in, num_out = shape
    most = {"int4": 7, "int8": 127, "float8_e4m3fn": 448, E2M1: 6}[kind]
    values = np.rint(generator.uniform(-most, most, size=shape)).astype(np.dtype(kind))
    scales = generator.uniform(0.5, 1, size=(*many, groups, num_out)).astype(np.float32) / most
    if kind == E2M1:
        scales = np.exp2(np.floor(np.log2(scales)))
    moved = generator.normal(size=scales.shape).astype(np.float32) if offsets else None
    packed = kind in ("int4", E2M1)
    stands_for = values.astype(np.float64) * np.repeat(scales, num_in // groups, axis=-2)
    if moved is not None:
        stands_for += np.repeat(moved, num_in // groups, axis=-2)
    parts = (
        jnp.asarray(pack_pairs(values) if packed else values),
        jnp.asarray(exponents(scales) if kind == E2M1 else scales),
        None if moved is None else jnp.asarray(moved),
    )
    return QuantizedMatrix(*parts, packed, int8_activations, kind == E2M1), stands_for


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("groups", "offsets"), [(1, False), (1, True), (4, False), (4, True)])
def test_a_product_is_that_with_the_matrix_it_stands_for(generator, kind, groups, offsets):
    matrix, stands_for = make(generator, kind, (32, 24), groups, offsets=offsets)
    x = generator.normal(size=(5, 32)).astype(np.float32)
    np.testing.assert_allclose(dense(matrix, jnp.dtype("float32")), stands_for, atol=1e-5)
    np.testing.assert_allclose(multiply(jnp.asarray(x), matrix), x @ stands_for, atol=2e-5)


def test_all_floats_of_four_bits_mean_their_number():
    codes = np.arange(16, dtype=np.uint8).reshape(16, 1)
    powers = np.exp2(np.array([[-3.0]], np.float32))
    packed = pack_pairs(codes.view(ml_dtypes.float4_e2m1fn))
    parts = jnp.asarray(packed), jnp.asarray(exponents(powers))
    found = dense(QuantizedMatrix(*parts, is_packed=True, is_float=True), jnp.dtype("float32"))
    numbers = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    expected = np.array([*numbers, *(-number for number in numbers)]) / 8
    np.testing.assert_array_equal(found[:, 0], expected)


@pytest.mark.parametrize("power", [-126, -1, 0, 127])
def test_a_power_of_two_is_kept_in_its_exponent(power):
    scale = np.full((1, 1), 2.0**power, np.float32)
    kept = exponents(scale)
    assert kept.dtype == np.uint8
    one = pack_pairs(np.ones((2, 1), ml_dtypes.float4_e2m1fn))
    matrix = QuantizedMatrix(jnp.asarray(one), jnp.asarray(kept), is_packed=True, is_float=True)
    np.testing.assert_array_equal(dense(matrix, jnp.dtype("float32"))[0], scale[0])


def test_in_bfloat16_a_product_is_as_near_as_its_inputs_allow(generator):
    matrix, stands_for = make(generator, "int8", (64, 8), 1)
    x = generator.normal(size=(5, 64)).astype(ml_dtypes.bfloat16)
    y = multiply(jnp.asarray(x), matrix)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        np.asarray(y, np.float64), x.astype(np.float64) @ stands_for, rtol=2**-8, atol=1e-3
    )


@pytest.mark.parametrize("groups", [1, 4])
def test_activations_are_rounded_by_each_tokens_own_largest(generator, groups):
    matrix, stands_for = make(generator, "int8", (32, 24), groups, int8_activations=True)
    x = generator.normal(size=(5, 32)).astype(np.float32)
    x[3] *= 1000
    x[4] = 0
    largest = np.abs(x).max(axis=1, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1)
    expected = np.rint(x / scale) * scale @ stands_for
    y = np.asarray(multiply(jnp.asarray(x), matrix))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * largest.max())
    alone = np.asarray(multiply(jnp.asarray(x[1:2]), matrix))
    np.testing.assert_allclose(alone, y[1:2], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "groups", "int8_activations"),
    [
        *((kind, groups, False) for kind in KINDS for groups in (1, 4)),
        ("int8", 1, True),
    ],
)
def test_groups_of_rows_times_their_experts(generator, kind, groups, int8_activations):
    experts, stand_for = make(
        generator, kind, (3, 16, 8), groups, int8_activations=int8_activations
    )
    rows = generator.normal(size=(7, 16)).astype(np.float32)
    sizes = np.array([2, 0, 5], np.int32)
    y = grouped_matmul(jnp.asarray(rows), experts, jnp.asarray(sizes))
    if int8_activations:
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127
        rows = np.rint(rows / scale) * scale
    expected = np.einsum("mi,mio->mo", rows, stand_for[np.repeat(np.arange(3), sizes)])
    np.testing.assert_allclose(y, expected, atol=2e-5)
