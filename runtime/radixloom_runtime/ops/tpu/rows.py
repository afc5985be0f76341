"""Lays new tokens out as they lie in pages, before the kernel runs; picture in `geometry`."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Num

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.kv_numbers import to_floats, to_int8
from radixloom_runtime.ops.tpu.geometry import LANES, Geometry


def new_token_rows(
    keys: Float[Array, "T K H"],
    values: Float[Array, "T K H"] | None,
    geometry: Geometry,
    form: Form,
    dtype: jnp.dtype,
) -> Num[Array, "T X"]:
    """Bring new tokens into the form of pages."""
    num_tokens, row = keys.shape[0], geometry.row
    if not geometry.has_scales:
        heads = keys if values is None else _side_by_side(keys, values, geometry)
        return to_floats(_padded(heads, row.lanes), dtype).reshape(num_tokens, -1)
    heads, scales = _int8(keys, values, geometry, form)
    if row.has_room:
        heads = jnp.concatenate([heads, scales], axis=-1)
        return _padded(heads, row.lanes).reshape(num_tokens, -1)
    by_pass = (num_tokens, geometry.passes, -1)
    heads = _padded(heads, row.lanes).reshape(by_pass)
    scales = _padded(scales.reshape(by_pass), LANES)
    return jnp.concatenate([heads, scales], axis=-1).reshape(num_tokens, -1)


def _int8(
    keys: Float[Array, "T K H"],
    values: Float[Array, "T K H"] | None,
    geometry: Geometry,
    form: Form,
) -> tuple[Int8[Array, "T K X"], Int8[Array, "T K 4"]]:
    """Round; each head has a scale for its key and one for its value, or for a latent's parts."""
    if values is not None:
        (keys, key_scale), (values, value_scale) = to_int8(keys), to_int8(values)
        scales = jnp.concatenate([key_scale, value_scale], axis=-1)
        return _side_by_side(keys, values, geometry), scales
    value, rest = jnp.split(keys, (form.value_dim or 0,), axis=-1)
    (value, value_scale), (rest, rest_scale) = to_int8(value), to_int8(rest)
    scales = jnp.concatenate([value_scale, rest_scale], axis=-1)
    return jnp.concatenate([value, rest], axis=-1), scales


def _side_by_side(
    keys: Num[Array, "T K H"], values: Num[Array, "T K H"], geometry: Geometry
) -> Num[Array, "T K X"]:
    return jnp.concatenate([_padded(keys, geometry.row.value_first), values], axis=-1)


def _padded(x: Num[Array, "*B X"], width: int) -> Num[Array, "*B Y"]:
    """Add zeros to the last axis."""
    return jnp.pad(x, (*((0, 0),) * (x.ndim - 1), (0, width - x.shape[-1])))
