"""What the kernel reads as scalars: the batch, and which chunks each block of queries touches.

blocks of queries      decodes: 0 ... D-1 | prompts: D ... D+M-1
first[b], past[b]      block b works on chunks first ... past - 1 (none: first >= past)
following[b + 1]       the next block after b that has work; following[0] is the first
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from radixloom_runtime.ops.attention import Ragged
from radixloom_runtime.ops.tpu.geometry import Geometry


class Work(NamedTuple):
    """Scalars in the order in which the kernel takes them."""

    numbers: Int[Array, "4"]
    """num_decodes, num_chunks, page_offset, window."""
    starts: Int[Array, " R"]
    lengths: Int[Array, " R"]
    offsets: Int[Array, " R"]
    slots: Int[Array, " T"]
    first: Int[Array, " B"]
    past: Int[Array, " B"]
    following: Int[Array, " B+1"]


def plan_work(
    batch: Ragged,
    page_offset: Int[Array, ""] | int,
    window: Int[Array, ""] | int | None,
    geometry: Geometry,
) -> Work:
    """Find each block's chunks."""
    first, past = _chunks_of_blocks(batch, geometry)
    index = jnp.arange(geometry.num_blocks, dtype=jnp.int32)
    with_work = jnp.where(first < past, index, geometry.num_blocks)
    following = jax.lax.cummin(with_work, reverse=True)
    following = jnp.append(following, jnp.int32(geometry.num_blocks))
    numbers = (batch.num_decodes, batch.num_chunks, page_offset, 0 if window is None else window)
    return Work(
        numbers=jnp.stack([jnp.asarray(number, jnp.int32) for number in numbers]),
        starts=_int32(batch.starts),
        lengths=_int32(batch.lengths),
        offsets=_int32(batch.offsets),
        slots=_int32(batch.slots),
        first=first,
        past=past,
        following=following,
    )


def _chunks_of_blocks(
    batch: Ragged, geometry: Geometry
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Decodes are chunks by their number; prompts lie across blocks."""
    chunk = jnp.arange(batch.offsets.shape[0])
    live = chunk < batch.num_chunks
    begin = jnp.arange(geometry.decode_blocks) * geometry.decode_tokens
    decode_past = jnp.minimum(begin + geometry.decode_tokens, batch.num_decodes)
    token = jnp.arange(geometry.prompt_blocks)[:, None] * geometry.prompt_tokens
    is_before = live & (batch.offsets + batch.lengths <= token)
    first = jnp.maximum(jnp.sum(is_before, axis=1), batch.num_decodes)
    past = jnp.sum(live & (batch.offsets < token + geometry.prompt_tokens), axis=1)
    return (
        _int32(jnp.concatenate([begin, first])),
        _int32(jnp.concatenate([decode_past, past])),
    )


def _int32(array: Array) -> Array:
    return array.astype(jnp.int32)
