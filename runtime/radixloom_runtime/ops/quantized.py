"""Matrices kept in few bits, and products with them.

    values   [..., I, O]   int8 or e4m3 floats; of 4 bits [..., I/2, O], two inputs in a byte
    scales   [..., G, O]   one for each output (G = 1), or for each group of I/G inputs: float32,
                           or uint8 exponents of powers of two (127 is 1)
    offsets  [..., G, O]   float32, added after scaling; none where the format is symmetric

    matrix[i, o] = values[i, o] * scales[group of i, o] + offsets[group of i, o]

With one scale an output, the product is of the values themselves, and is scaled at its end. With
groups, the matrix is made in the activations' dtype first: XLA fuses that into the product on TPU;
on CPU it is written out for a moment, which costs time and the memory of one matrix.

Whatever the batch, a token's product is the same: activations are rounded, where a checkpoint wants
that, each token by its own largest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import Array, Float, Num
from numpy.typing import NDArray

from radixloom_runtime.ops.dense import times

_LARGEST_INT8 = 127.0
_MANTISSA_BITS = 23
_E2M1 = np.dtype(ml_dtypes.float4_e2m1fn)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class QuantizedMatrix:
    """One matrix, or several of the same shape."""

    values: Num[Array, "*E I O"]
    scales: Num[Array, "*E G O"]
    offsets: Float[Array, "*E G O"] | None = None
    is_packed: bool = False
    """A byte holds two inputs of four bits, the first in the low ones."""
    int8_activations: bool = False
    """What it is multiplied with is rounded to int8, too."""
    is_float: bool = False
    """Four bits are a float (e2m1), not an integer."""

    @property
    def ndim(self) -> int:
        """Of the matrix that it stands for."""
        return self.values.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix that it stands for."""
        *many, num_in, num_out = self.values.shape
        return (*many, num_in * (2 if self.is_packed else 1), num_out)

    def __getitem__(self, index: Any) -> "QuantizedMatrix":
        """Choose among several."""
        offsets = None if self.offsets is None else self.offsets[index]
        return replace(self, values=self.values[index], scales=self.scales[index], offsets=offsets)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[bool, bool, bool]]:
        """Part for jax."""
        kind = (self.is_packed, self.int8_activations, self.is_float)
        return (self.values, self.scales, self.offsets), kind

    @classmethod
    def tree_unflatten(cls, kind: tuple[bool, bool, bool], children: Any) -> "QuantizedMatrix":
        """Join for jax."""
        values, scales, offsets = children
        return cls(values, scales, offsets, *kind)


Matrix = Array | QuantizedMatrix
Largest = Callable[[Array], Array]
"""Makes the largest over all devices that hold a part of the inputs."""


def multiply(
    x: Float[Array, "T I"], matrix: Matrix, over_devices: Largest = lambda x: x
) -> Float[Array, "T O"]:
    """Compute x @ matrix in the dtype of `x`, which is rounded first if the matrix wants it."""
    is_quantized = isinstance(matrix, QuantizedMatrix)
    if is_quantized and matrix.int8_activations and _is_per_output(matrix):
        return _multiply_int8(x, matrix, over_devices)
    return product(rounded(x, matrix, over_devices), matrix)


def product(x: Float[Array, "T I"], matrix: Matrix) -> Float[Array, "T O"]:
    """Compute x @ matrix with `x` as it is."""
    if not isinstance(matrix, QuantizedMatrix):
        return times(x, matrix)
    if not _is_per_output(matrix):
        return times(x, dense(matrix, x.dtype))
    unscaled = jnp.matmul(x, _values(matrix).astype(x.dtype), preferred_element_type=jnp.float32)
    return (unscaled * float_scales(matrix.scales)).astype(x.dtype)


def dense(matrix: Matrix, dtype: jnp.dtype) -> Float[Array, "*E I O"]:
    """Make the matrix itself."""
    if not isinstance(matrix, QuantizedMatrix):
        return matrix.astype(dtype)
    *many, num_in, num_out = matrix.shape
    groups = matrix.scales.shape[-2]
    grouped = _values(matrix).astype(jnp.float32)
    grouped = grouped.reshape(*many, groups, num_in // groups, num_out)
    scaled = grouped * float_scales(matrix.scales)[..., None, :]
    if matrix.offsets is not None:
        scaled += matrix.offsets[..., None, :]
    return scaled.astype(dtype).reshape(matrix.shape)


def rounded(
    x: Float[Array, "T I"], matrix: Matrix, over_devices: Largest = lambda x: x
) -> Float[Array, "T I"]:
    """Round activations as far as this matrix wants it."""
    if not isinstance(matrix, QuantizedMatrix) or not matrix.int8_activations:
        return x
    values, scale = _to_int8(x, over_devices)
    return (values.astype(jnp.float32) * scale).astype(x.dtype)


def pack_pairs(values: NDArray[Any]) -> NDArray[np.int8]:
    """Put two neighbouring inputs [..., I, O] of four bits in a byte."""
    wide = values.view(np.int8) if values.dtype == _E2M1 else values.astype(np.int8)
    return (wide[..., 0::2, :] & 15) | (wide[..., 1::2, :] << 4)


def exponents(scales: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Keep of powers of two what tells them apart: 127 for 1, 128 for 2."""
    return (np.ascontiguousarray(scales).view(np.uint32) >> _MANTISSA_BITS).astype(np.uint8)


def _values(matrix: QuantizedMatrix) -> Num[Array, "*E I O"]:
    """Unpack, where two are in a byte; the shift to the right keeps the sign."""
    if not matrix.is_packed:
        return matrix.values
    low = jnp.right_shift(jnp.left_shift(matrix.values, 4), 4)
    pairs = jnp.stack([low, jnp.right_shift(matrix.values, 4)], axis=-2)
    values = pairs.reshape(matrix.shape)
    return e2m1_numbers(values) if matrix.is_float else values


def e2m1_numbers(nibbles: Num[Array, "*E I O"]) -> Float[Array, "*E I O"]:
    """Make the numbers that four bits stand for, given as signed integers: 1000 as -8."""
    magnitude = nibbles & 7
    exponent, with_one = magnitude >> 1, 2 + (magnitude & 1)  # in halves; the leading 1 is a 2
    halves = jnp.where(exponent == 0, magnitude, (with_one << exponent) >> 1)
    return jnp.where(nibbles < 0, -halves, halves).astype(jnp.float32) * 0.5


def float_scales(scales: Num[Array, "*E G O"]) -> Float[Array, "*E G O"]:
    """Make powers of two of what `exponents` kept; others are as they should be."""
    if scales.dtype != jnp.uint8:
        return scales
    powers = scales.astype(jnp.int32) << _MANTISSA_BITS
    least = 1 << (_MANTISSA_BITS - 1)  # an exponent of 0 is 2^-127, which has no leading 1
    return jax.lax.bitcast_convert_type(jnp.where(powers == 0, least, powers), jnp.float32)


def _is_per_output(matrix: QuantizedMatrix) -> bool:
    return matrix.offsets is None and matrix.scales.shape[-2] == 1


def _multiply_int8(
    x: Float[Array, "T I"], matrix: QuantizedMatrix, over_devices: Largest
) -> Float[Array, "T O"]:
    values, scale = _to_int8(x, over_devices)
    product = jnp.matmul(values, _values(matrix), preferred_element_type=jnp.int32)
    return (product.astype(jnp.float32) * scale * matrix.scales).astype(x.dtype)


def _to_int8(x: Float[Array, "T I"], over_devices: Largest) -> tuple[Array, Array]:
    """Return int8 [T, I] and float32 [T, 1]."""
    x = x.astype(jnp.float32)
    largest = over_devices(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    scale = jnp.where(largest > 0, largest / _LARGEST_INT8, 1.0)
    return jnp.round(x / scale).astype(jnp.int8), scale
