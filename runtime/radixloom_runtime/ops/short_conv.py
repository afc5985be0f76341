"""A short causal convolution along each request's tokens, over a ragged batch.

    out[t] = Σ taps[i] * inputs[t - W + i]        i = 0 ... W, for each channel by itself

What lies before a chunk's first token is in its row's window: the last W inputs of the row, oldest
first. It counts as zeros for a chunk that starts at position 0.

    window  [ w0 w1 w2 ]  chunk [ c0 c1 c2 c3 c4 ]  ─►  window [ c2 c3 c4 ]
    window  [ w0 w1 w2 ]  chunk [ c0 ]              ─►  window [ w1 w2 c0 ]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from radixloom_runtime.ops.attention import Ragged


class Windows(NamedTuple):
    """Where the windows of a step's chunks are: `all[layer, rows[chunk]]`."""

    all: Float[Array, "L B W C"]
    layer: Int[Array, ""]
    rows: Int[Array, " R"]


def short_conv(
    inputs: Float[Array, "T C"], taps: Float[Array, "I C"], windows: Windows, batch: Ragged
) -> tuple[Float[Array, "T C"], Float[Array, "L B W C"]]:
    """Convolve a step's tokens; returns the sums in float32, and the windows in place."""
    before = windows.all[windows.layer, windows.rows]
    before = jnp.where((batch.starts > 0)[:, None, None], before, 0)
    out = _inside_chunks(inputs, taps, batch)
    out = _across_starts(out, taps, before, batch)
    after = _last_inputs(inputs, before, batch)
    return out, windows.all.at[windows.layer, windows.rows].set(after)


def _inside_chunks(inputs: Array, taps: Array, batch: Ragged) -> Float[Array, "T C"]:
    """Sum up what each token's own chunk gives."""
    num_tokens, reach = inputs.shape[0], taps.shape[0] - 1
    token = jnp.arange(num_tokens)
    starts = jnp.zeros(num_tokens, jnp.int32).at[batch.offsets].set(batch.offsets, mode="drop")
    index_in_chunk = token - jax.lax.cummax(starts)
    wide, taps = inputs.astype(jnp.float32), taps.astype(jnp.float32)
    out = wide * taps[reach]
    for back in range(1, min(reach, num_tokens - 1) + 1):
        shifted = jnp.pad(wide[:-back], ((back, 0), (0, 0)))
        out += jnp.where((index_in_chunk >= back)[:, None], shifted * taps[reach - back], 0.0)
    return out


def _across_starts(out: Array, taps: Array, before: Array, batch: Ragged) -> Float[Array, "T C"]:
    """Add what a chunk's first tokens get from the window before it."""
    reach = before.shape[1]
    wide, taps = before.astype(jnp.float32), taps.astype(jnp.float32)
    for index in range(reach):
        given = jnp.einsum("rwc,wc->rc", wide[:, index:], taps[: reach - index])
        token = jnp.where(index < batch.lengths, batch.offsets + index, out.shape[0])
        out = out.at[token].add(given, mode="drop")
    return out


def _last_inputs(inputs: Array, before: Array, batch: Ragged) -> Float[Array, "R W C"]:
    """Return each chunk's window when it is over."""
    reach = before.shape[1]
    index = batch.lengths[:, None] - reach + jnp.arange(reach)
    token = jnp.clip(batch.offsets[:, None] + index, 0, inputs.shape[0] - 1)
    older = jnp.take_along_axis(before, jnp.clip(index + reach, 0, reach - 1)[..., None], axis=1)
    return jnp.where((index >= 0)[..., None], inputs[token].astype(before.dtype), older)
