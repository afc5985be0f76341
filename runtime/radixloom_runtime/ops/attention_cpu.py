"""Paged flash attention in plain XLA, shaped for CPUs.

    write the step's keys and values into their pages; then
    for each chunk, for each block of its queries:           one query for a decode, or QUERY_BLOCK
        for each block of BLOCK_TOKENS positions, from the window's begin to the queries' own:
            gather the block's pages; go on with a running (online) softmax

So memory is O(block), and time grows with each request's own length: no row pays for a longer
neighbour or for its padded page table. (All decodes side by side, up to the longest, took twice
the time: the gathered keys no longer fit in cache.)

A block of queries may reach over its chunk's end. What it writes there is garbage that the next
chunk, which begins there, overwrites.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.ops.attention import Attention, Form, Ragged

BLOCK_TOKENS = 128
QUERY_BLOCK = 64

_MASKED = -1e30
"""Finite, so that a fully masked block gives weights and not NaN."""


class _Softmax(NamedTuple):
    """A softmax in progress: `total` and `out` are relative to exp(largest)."""

    largest: Float[Array, "*B"]
    total: Float[Array, "*B"]
    out: Float[Array, "*B V"]


class _Layer(NamedTuple):
    """What all chunks of one layer share."""

    pages: Float[Array, "P S W H"]
    batch: Ragged
    window: Int[Array, ""] | int | None
    sinks: Float[Array, "K G"] | None


@dataclass(frozen=True)
class CPUAttention(Attention):
    """The kernel; see `ops.attention`."""

    @override
    def page_shape(self, num_kv_heads: int, head_dim: int, *, latent: bool) -> tuple[int, int]:
        return (1 if latent else 2 * num_kv_heads), head_dim

    @override
    def __call__(
        self,
        queries: Float[Array, "T N H"],
        keys: Float[Array, "T K H"],
        values: Float[Array, "T K H"] | None,
        pages: Float[Array, "P S W H"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
        form: Form,
        *,
        window: Int[Array, ""] | int | None = None,
        sinks: Float[Array, " N"] | None = None,
    ) -> tuple[Float[Array, "T N V"], Float[Array, "P S W H"]]:
        batch = batch._replace(
            page_tables=batch.page_tables + page_offset,
            slots=batch.slots + page_offset * pages.shape[1],
        )
        pages = write(pages, batch.slots, keys, values)
        num_tokens, num_heads, head_dim = queries.shape
        by_kv_head = (keys.shape[1], num_heads // keys.shape[1])
        sinks = None if sinks is None else sinks.astype(jnp.float32).reshape(by_kv_head)
        grouped = queries.astype(jnp.float32) * form.scale
        grouped = grouped.reshape(num_tokens, *by_kv_head, head_dim)
        out = _attend(grouped, _Layer(pages, batch, window, sinks), form)
        return out.reshape(num_tokens, num_heads, -1).astype(queries.dtype), pages


def write(
    pages: Float[Array, "P S W H"],
    slots: Int[Array, " T"],
    keys: Float[Array, "T K H"],
    values: Float[Array, "T K H"] | None,
) -> Float[Array, "P S W H"]:
    """Put each token's key and value at its slot, in place when donated."""
    new = keys if values is None else jnp.stack([keys, values], axis=2)
    flat = pages.reshape(-1, *pages.shape[2:])
    new = new.reshape(-1, *pages.shape[2:]).astype(pages.dtype)
    return flat.at[slots].set(new, mode="promise_in_bounds").reshape(pages.shape)


def _attend(queries: Float[Array, "T K G H"], layer: _Layer, form: Form) -> Float[Array, "T K G V"]:
    num_tokens, batch = queries.shape[0], layer.batch
    value_dim = form.value_dim or queries.shape[-1]
    out = jnp.zeros((*queries.shape[:-1], value_dim), jnp.float32)
    decodes = (0, batch.num_decodes)
    out = _chunks(queries, out, layer, form, decodes, query_block=1)
    # Not skipped where there are as many chunks as tokens: a bucket for prompts may be so, too.
    padding = ((0, QUERY_BLOCK), (0, 0), (0, 0), (0, 0))
    queries, out = jnp.pad(queries, padding), jnp.pad(out, padding)
    prompts = (batch.num_decodes, batch.num_chunks)
    return _chunks(queries, out, layer, form, prompts, query_block=QUERY_BLOCK)[:num_tokens]


def _chunks(
    queries: Float[Array, "T K G H"],
    out: Float[Array, "T K G V"],
    layer: _Layer,
    form: Form,
    chunks: tuple[Array | int, Array],
    *,
    query_block: int,
) -> Float[Array, "T K G V"]:
    """Write the result of chunks `first ... last - 1` into `out`."""
    batch = layer.batch

    def chunk_step(chunk: Int[Array, ""], out: Array) -> Array:
        def block_step(block: Int[Array, ""], out: Array) -> Array:
            skipped = block * query_block
            token, position = batch.offsets[chunk] + skipped, batch.starts[chunk] + skipped
            mine = jax.lax.dynamic_slice_in_dim(queries, token, query_block)
            end = batch.starts[chunk] + jnp.minimum(skipped + query_block, batch.lengths[chunk])
            table = batch.page_tables[chunk]
            attended = _query_block(mine, layer, form, table, position, end)
            return jax.lax.dynamic_update_slice_in_dim(out, attended, token, axis=0)

        num_blocks = -(-batch.lengths[chunk] // query_block)
        return jax.lax.fori_loop(0, num_blocks, block_step, out)

    return jax.lax.fori_loop(*chunks, chunk_step, out)


def _query_block(
    queries: Float[Array, "Q K G H"],
    layer: _Layer,
    form: Form,
    page_table: Int[Array, " P"],
    position: Int[Array, ""],
    end: Int[Array, ""],
) -> Float[Array, "Q K G V"]:
    """Attend with consecutive tokens of one request, from `position` to before `end`."""
    num_queries, num_kv_heads, group, head_dim = queries.shape
    pages_per_block = max(1, BLOCK_TOKENS // layer.pages.shape[1])
    block_tokens = pages_per_block * layer.pages.shape[1]
    page_table = jnp.pad(page_table, (0, -page_table.shape[0] % pages_per_block))
    by_head = queries.transpose(1, 2, 0, 3).reshape(num_kv_heads, group * num_queries, head_dim)
    positions = jnp.tile(position + jnp.arange(num_queries), group)

    def step(block: Int[Array, ""], state: _Softmax) -> _Softmax:
        table = jax.lax.dynamic_slice_in_dim(page_table, block * pages_per_block, pages_per_block)
        keys, values = _gather(layer.pages, table, form)
        scores = jnp.einsum("kqh,lkh->kql", by_head, keys)
        if form.soft_cap is not None:
            scores = form.soft_cap * jnp.tanh(scores / form.soft_cap)
        seen = block * block_tokens + jnp.arange(block_tokens)
        visible = _visible(seen, positions[:, None], layer.window)
        return _accumulate(state, scores, values, visible)

    first = 0
    if layer.window is not None:
        first = jnp.maximum(position - layer.window + 1, 0) // block_tokens
    begun = _begin(by_head, layer.sinks, form)
    done = jax.lax.fori_loop(first, -(-end // block_tokens), step, begun)
    attended = done.out / done.total[..., None]
    attended = attended.reshape(num_kv_heads, group, num_queries, -1)
    return attended.transpose(2, 0, 1, 3)


def _visible(
    seen: Int[Array, " L"], own: Int[Array, "Q 1"], window: Int[Array, ""] | int | None
) -> Array:
    visible = seen <= own
    return visible if window is None else visible & (seen > own - window)


def _gather(
    pages: Float[Array, "P S W H"], table: Int[Array, " B"], form: Form
) -> tuple[Float[Array, "L K H"], Float[Array, "L K V"]]:
    """Bring a block's pages together: keys and values of L = B * S positions."""
    found = pages.at[table].get(mode="clip").astype(jnp.float32)
    if form.is_latent:
        latent = found.reshape(-1, *found.shape[2:])
        return latent, latent[..., : form.value_dim]
    found = found.reshape(-1, found.shape[2] // 2, 2, found.shape[3])
    return found[:, :, 0], found[:, :, 1]


def _begin(
    queries: Float[Array, "K Q H"], sinks: Float[Array, "K G"] | None, form: Form
) -> _Softmax:
    """Start before the first position: from nothing, or from the sinks."""
    value_dim = form.value_dim or queries.shape[-1]
    out = jnp.zeros((*queries.shape[:-1], value_dim), jnp.float32)
    if sinks is None:
        largest = jnp.full(queries.shape[:-1], _MASKED, jnp.float32)
        return _Softmax(largest, jnp.zeros_like(largest), out)
    largest = jnp.repeat(sinks, queries.shape[1] // sinks.shape[1], axis=1)
    return _Softmax(largest, jnp.ones_like(largest), out)


def _accumulate(
    state: _Softmax,
    scores: Float[Array, "K Q L"],
    values: Float[Array, "L K V"],
    visible: Array,
) -> _Softmax:
    scores = jnp.where(visible, scores, _MASKED)
    largest = jnp.maximum(state.largest, jnp.max(scores, axis=-1))
    # A block that a window hides from some queries has nothing but masked scores for them.
    weights = jnp.where(visible, jnp.exp(scores - largest[..., None]), 0.0)
    shrink = jnp.exp(state.largest - largest)
    return _Softmax(
        largest,
        state.total * shrink + jnp.sum(weights, axis=-1),
        state.out * shrink[..., None] + jnp.einsum("kql,lkv->kqv", weights, values),
    )
