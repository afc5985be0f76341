"""The numbers that pages hold: floats of some width, or int8 with scales.

    float32, bfloat16   as they are
    float8_e4m3fn       as they are, too (a scale of 1), but for what is beyond 448: cut to that
    int8                number x scale; a vector has one scale, of two bytes that lie beside it

A scale is the least bfloat16 that brings the largest number of its vector to 127. So what
is held of a token depends on that token's vector alone, and however tokens are batched, chunked,
or written again after a preemption, their pages are the same. A vector of zeros has the scale 0,
and so have pages that nobody has written.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8, Int32, Num

SCALE_BYTES = 2
"""The low byte of a bfloat16, then the high one."""

_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8"}
_OF_BITS = {bits: number for number, bits in _BITS.items()}

_LARGEST_INT8 = 127.0
_OF_LARGEST = 1 / _LARGEST_INT8
"""Multiplied by; XLA would make that of a division, and we want to know what is computed."""
_DROPPED_BITS = 0xFFFF
"""Bits of a float32 that a bfloat16 lacks."""


def has_scales(dtype: jnp.dtype) -> bool:
    """Whether pages of this dtype hold scales beside their numbers."""
    return jnp.dtype(dtype) == jnp.int8


def bits_of(dtype: jnp.dtype) -> jnp.dtype:
    """Return the whole numbers in whose place small floats are held where XLA widens those."""
    return jnp.dtype(_BITS.get(jnp.dtype(dtype).name, dtype))


def number_of(dtype: jnp.dtype) -> jnp.dtype:
    """Return what pages of this dtype hold: `bits_of` the other way."""
    return jnp.dtype(_OF_BITS.get(jnp.dtype(dtype).name, dtype))


def as_numbers(x: Num[Array, "*B"]) -> Num[Array, "*B"]:
    """Take bits as the small floats that they stand for."""
    return jax.lax.bitcast_convert_type(x, number_of(x.dtype))


def to_floats(x: Float[Array, "*B"], dtype: jnp.dtype) -> Float[Array, "*B"]:
    """Round to a float dtype of pages; what is beyond its range becomes its largest number."""
    if jnp.dtype(dtype).itemsize > 1:
        return x.astype(dtype)
    # e4m3fn has no infinity: the cast alone would make NaN of what is too large.
    largest = float(jnp.finfo(dtype).max)
    return jnp.clip(x, -largest, largest).astype(dtype)


def to_int8(x: Float[Array, "*B H"]) -> tuple[Int8[Array, "*B H"], Int8[Array, "*B 2"]]:
    """Round vectors to int8; returns numbers, and the bytes of each vector's scale."""
    x = x.astype(jnp.float32)
    wanted = jnp.max(jnp.abs(x), axis=-1, keepdims=True) * _OF_LARGEST
    # What is below the least normal number, some devices take for zero, and so do we.
    scale = _rounded_up(jnp.where(wanted < jnp.finfo(jnp.float32).tiny, 0.0, wanted))
    numbers = _divided(x, scale).astype(jnp.int8)
    bits = jax.lax.bitcast_convert_type(scale, jnp.int32)
    # Narrowing keeps the low bits of each.
    parts = [jnp.right_shift(bits, shift).astype(jnp.int8) for shift in (16, 24)]
    return numbers, jnp.concatenate(parts, axis=-1)


def scale_of(low: Int[Array, "*B"], high: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Make a scale of its two bytes, given as int32: whatever else these hold is ignored."""
    bits: Int32[Array, "*B"] = ((high & 255) << 24) | ((low & 255) << 16)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _divided(x: Float[Array, "*B H"], scale: Float[Array, "*B 1"]) -> Float[Array, "*B H"]:
    """Return x / scale, rounded to the nearest whole number, ties to the even one: exactly.

    A compiler may divide by way of a reciprocal, in one shape and not in another, and what is
    near a tie would then be rounded either way. The rest that a first try leaves is exact: a whole
    number up to 127 times a bfloat16 is a float32, and it lies near x.
    """
    tried = jnp.round(x * (1 / jnp.where(scale > 0, scale, 1.0)))
    tried = jnp.clip(tried, -_LARGEST_INT8, _LARGEST_INT8)
    rest = x - tried * scale
    is_tie, is_odd = 2 * jnp.abs(rest) == scale, (tried.astype(jnp.int32) & 1) == 1
    is_off = (2 * jnp.abs(rest) > scale) | (is_tie & is_odd)
    rounded = jnp.where(is_off, tried + jnp.sign(rest), tried)
    return jnp.where(scale > 0, rounded, 0.0)


def _rounded_up(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Return the least float32 with the bits of a bfloat16 that is not below x >= 0."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    bits = (bits + _DROPPED_BITS) & ~_DROPPED_BITS
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
