"""How CPUs and GPUs hold a token in a page, and read it back.

    heads     [2K, H]    k0, v0, k1, v1 ...      int8: [2K, H + 2], each with its own scale
    latent    [H]        value and the rest      int8: [H + 4], then the scales of both

A latent's two parts have a scale each: the first is normalized, and the rest, the key that turns
with the position, may be many times as large.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.kv_numbers import SCALE_BYTES, has_scales, scale_of, to_floats, to_int8


def row_shape(
    num_kv_heads: int, head_dim: int, *, latent: bool, dtype: jnp.dtype
) -> tuple[int, ...]:
    """Return the axes of one token."""
    scale = SCALE_BYTES if has_scales(dtype) else 0
    # Not (1, H): XLA then lays the pool out in one way to write it and in another to read it,
    # and copies it whole, twice a step.
    return (head_dim + 2 * scale,) if latent else (2 * num_kv_heads, head_dim + scale)


def make_rows(
    keys: Float[Array, "T K H"],
    values: Float[Array, "T K H"] | None,
    form: Form,
    dtype: jnp.dtype,
) -> Num[Array, " T *W"]:
    """Bring new tokens into the form of pages."""
    if values is not None:
        vectors = jnp.stack([keys, values], axis=2).reshape(keys.shape[0], -1, keys.shape[-1])
        if not has_scales(dtype):
            return to_floats(vectors, dtype)
        return jnp.concatenate(to_int8(vectors), axis=-1)
    latents = keys[:, 0]
    if not has_scales(dtype):
        return to_floats(latents, dtype)
    parts = jnp.split(latents, (form.value_dim or 0,), axis=-1)
    (value, value_scale), (rest, rest_scale) = map(to_int8, parts)
    return jnp.concatenate([value, rest, value_scale, rest_scale], axis=-1)


def write_rows(
    pages: Num[Array, "P S *W"], slots: Int[Array, " T"], rows: Num[Array, " T *W"]
) -> Num[Array, "P S *W"]:
    """Put each token's row at its slot, in place when donated."""
    flat = pages.reshape(-1, *pages.shape[2:])
    return flat.at[slots].set(rows, mode="promise_in_bounds").reshape(pages.shape)


def read_rows(
    rows: Num[Array, "*B"], form: Form
) -> tuple[Float[Array, "*C K H"], Float[Array, "*C K V"]]:
    """Return keys and values in float32; the last axes of `rows` are those of a token."""
    if not has_scales(rows.dtype):
        rows = rows.astype(jnp.float32)
        if form.is_latent:
            latents = rows[..., None, :]
            return latents, latents[..., : form.value_dim]
        return rows[..., 0::2, :], rows[..., 1::2, :]
    if not form.is_latent:
        vectors = rows[..., :-SCALE_BYTES] * _scale(rows[..., -SCALE_BYTES:])
        return vectors[..., 0::2, :], vectors[..., 1::2, :]
    value = rows[..., : form.value_dim] * _scale(rows[..., -2 * SCALE_BYTES : -SCALE_BYTES])
    rest = rows[..., form.value_dim : -2 * SCALE_BYTES] * _scale(rows[..., -SCALE_BYTES:])
    return jnp.concatenate([value, rest], axis=-1)[..., None, :], value[..., None, :]


def _scale(pair: Num[Array, "*B 2"]) -> Float[Array, "*B 1"]:
    wide = pair.astype(jnp.int32)
    return scale_of(wide[..., :1], wide[..., 1:])
