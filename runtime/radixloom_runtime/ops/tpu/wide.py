"""Blocks of matrices inside a kernel: small numbers made wide, and products with them.

What `ops.quantized` says, for one block [in, some out] in the fast memory. A byte of two numbers
is not pulled apart into neighbouring inputs, which would shuffle rows there: even and odd inputs
are multiplied apart, and added.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from radixloom_runtime.ops.quantized import (
    Matrix,
    QuantizedMatrix,
    e2m1_numbers,
    float_scales,
)


def stored_arrays(matrices: Matrix) -> list[Array]:
    """Return what is in memory: matrices, or values, scales and offsets."""
    if not isinstance(matrices, QuantizedMatrix):
        return [matrices]
    offsets = [] if matrices.offsets is None else [matrices.offsets]
    return [matrices.values, matrices.scales, *offsets]


def parts_of_inputs(rows: Float[Array, "M I"], matrices: Matrix) -> list[Array]:
    """Return rows as they meet the stored values: whole, or even and odd inputs apart."""
    if not isinstance(matrices, QuantizedMatrix) or not matrices.is_packed:
        return [rows]
    pairs = rows.reshape(rows.shape[0], -1, 2)
    return [pairs[..., 0], pairs[..., 1]]


def multiply_block(parts: list[Array], matrices: Matrix, blocks: list[Array]) -> Array:
    """Multiply rows by one block of `stored_arrays`; in float32."""
    if not isinstance(matrices, QuantizedMatrix):
        return dot(parts[0], blocks[0])
    values, stored_scales, *offsets = blocks
    scales = float_scales(stored_scales)
    numbers = [values.astype(jnp.float32)]
    if matrices.is_packed:
        numbers = _nibbles(values, is_float=matrices.is_float)
    if scales.shape[0] == 1 and not offsets:
        whole = [number.astype(parts[0].dtype) for number in numbers]
        return sum(map(dot, parts, whole), start=jnp.float32(0)) * scales
    wide = [_scaled(number, scales, offsets).astype(parts[0].dtype) for number in numbers]
    return sum(map(dot, parts, wide), start=jnp.float32(0))


def wide_bytes(matrices: Matrix, num_in: int, num_outs: int, itemsize: int) -> int:
    """Estimate the memory that a block takes while it is made wide."""
    if not isinstance(matrices, QuantizedMatrix):
        return 0
    return num_in * num_outs * (4 + itemsize)


def dot(
    rows: Float[Array, "M I"], block: Float[Array, "_ _"], *, inputs: int = 0
) -> Float[Array, "M O"]:
    """Multiply in float32 by a block whose dimension `inputs` is that of its inputs."""
    is_exact = rows.dtype == jnp.float32
    return jax.lax.dot_general(
        rows,
        block,
        (((1,), (inputs,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if is_exact else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )


def _nibbles(values: Num[Array, "I O"], *, is_float: bool) -> list[Array]:
    """Return the numbers of even and of odd inputs; the shift to the right keeps the sign."""
    wide = values.astype(jnp.int32)
    low, high = jnp.right_shift(jnp.left_shift(wide, 28), 28), jnp.right_shift(wide, 4)
    if is_float:
        return [e2m1_numbers(low), e2m1_numbers(high)]
    return [low.astype(jnp.float32), high.astype(jnp.float32)]


def _scaled(
    numbers: Float[Array, "I O"], scales: Float[Array, "G O"], offsets: list[Array]
) -> Float[Array, "I O"]:
    grouped = numbers.reshape(scales.shape[0], -1, scales.shape[1]) * scales[:, None]
    if offsets:
        grouped += offsets[0][:, None]
    return grouped.reshape(numbers.shape)
