"""Paged flash attention in plain XLA, shaped for CPUs.

    write the step's keys and values into their pages; then
    for each prompt chunk, for each QUERY_BLOCK of its queries (a short rest: a FEW_QUERIES):
        for each block of BLOCK_TOKENS positions, from the window's begin to the queries' own:
            gather the block's pages; go on with a running (online) softmax

A block of queries may reach over its chunk's end. What it writes there is garbage that the next
chunk, which begins there, overwrites.

Decodes have one query each: `ops.attention_cpu_decode` takes them together. Either way memory is
O(block), and time grows with each request's own length: no row pays for a longer neighbour or for
its padded page table.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num
from typing_extensions import override

from radixloom_runtime.ops import attention_cpu_decode
from radixloom_runtime.ops.attention import Attention, Form, Ragged
from radixloom_runtime.ops.attention_blocks import (
    MASKED,
    Layer,
    Softmax,
    begin,
    first_block,
    gather,
    soft_capped,
    visible,
)
from radixloom_runtime.ops.kv_numbers import bits_of, number_of
from radixloom_runtime.ops.kv_rows import make_rows, row_shape, write_rows

QUERY_BLOCK = 64
FEW_QUERIES = 16
"""A block for what is left of a chunk if it is no more: often all, after a cached prefix."""


@dataclass(frozen=True)
class CPUAttention(Attention):
    """The kernel; see `ops.attention`."""

    @override
    def page_shape(
        self, num_kv_heads: int, head_dim: int, *, latent: bool, dtype: jnp.dtype
    ) -> tuple[int, ...]:
        return row_shape(num_kv_heads, head_dim, latent=latent, dtype=dtype)

    @override
    def page_dtype(self, dtype: jnp.dtype) -> jnp.dtype:
        # XLA's CPU scatters no small floats: it would widen the whole pool and back in every layer.
        return bits_of(dtype)

    @override
    def page_multiple(self, dtype: jnp.dtype) -> int:
        return 1

    @override
    def __call__(
        self,
        queries: Float[Array, "T N H"],
        keys: Float[Array, "T K H"],
        values: Float[Array, "T K H"] | None,
        pages: Num[Array, "P S *W"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
        form: Form,
        *,
        window: Int[Array, ""] | int | None = None,
        sinks: Float[Array, " N"] | None = None,
    ) -> tuple[Float[Array, "T N V"], Num[Array, "P S *W"]]:
        batch = batch._replace(
            page_tables=batch.page_tables + page_offset,
            slots=batch.slots + page_offset * pages.shape[1],
        )
        rows = make_rows(keys, values, form, number_of(pages.dtype))
        pages = write_rows(pages, batch.slots, jax.lax.bitcast_convert_type(rows, pages.dtype))
        num_tokens, num_heads, head_dim = queries.shape
        by_kv_head = (keys.shape[1], num_heads // keys.shape[1])
        sinks = None if sinks is None else sinks.astype(jnp.float32).reshape(by_kv_head)
        grouped = queries.astype(jnp.float32) * form.scale
        grouped = grouped.reshape(num_tokens, *by_kv_head, head_dim)
        out = _attend(grouped, Layer(pages, batch, window, sinks), form)
        return out.reshape(num_tokens, num_heads, -1).astype(queries.dtype), pages


def _attend(queries: Float[Array, "T K G H"], layer: Layer, form: Form) -> Float[Array, "T K G V"]:
    num_tokens, num_rows = queries.shape[0], layer.batch.starts.shape[0]
    decoded = attention_cpu_decode.attend(queries[:num_rows], layer, form)
    # Not skipped where there are as many chunks as tokens: a bucket for prompts may be so, too.
    padding = ((0, QUERY_BLOCK), (0, 0), (0, 0), (0, 0))
    out = jnp.pad(decoded, ((0, num_tokens + QUERY_BLOCK - num_rows), *padding[1:]))
    return _prompts(jnp.pad(queries, padding), out, layer, form)[:num_tokens]


def _prompts(
    queries: Float[Array, "T K G H"], out: Float[Array, "T K G V"], layer: Layer, form: Form
) -> Float[Array, "T K G V"]:
    """Write the result of the chunks after the decodes into `out`."""
    batch = layer.batch

    def chunk_step(chunk: Int[Array, ""], out: Array) -> Array:
        length = batch.lengths[chunk]

        def block_step(skipped: Int[Array, ""], out: Array, size: int) -> Array:
            token, position = batch.offsets[chunk] + skipped, batch.starts[chunk] + skipped
            mine = jax.lax.dynamic_slice_in_dim(queries, token, size)
            end = batch.starts[chunk] + jnp.minimum(skipped + size, length)
            table = batch.page_tables[chunk]
            attended = _query_block(mine, layer, form, table, position, end)
            return jax.lax.dynamic_update_slice_in_dim(out, attended, token, axis=0)

        def whole_block(block: Int[Array, ""], out: Array) -> Array:
            return block_step(block * QUERY_BLOCK, out, QUERY_BLOCK)

        def short_rest(_: Int[Array, ""], out: Array) -> Array:
            return block_step(length - rest, out, FEW_QUERIES)

        rest = length % QUERY_BLOCK
        is_short = ((rest > 0) & (rest <= FEW_QUERIES)).astype(jnp.int32)
        out = jax.lax.fori_loop(0, -(-length // QUERY_BLOCK) - is_short, whole_block, out)
        # A loop of one turn or none, not a branch: XLA would copy `out` for a branch.
        return jax.lax.fori_loop(0, is_short, short_rest, out)

    return jax.lax.fori_loop(batch.num_decodes, batch.num_chunks, chunk_step, out)


def _query_block(
    queries: Float[Array, "Q K G H"],
    layer: Layer,
    form: Form,
    page_table: Int[Array, " P"],
    position: Int[Array, ""],
    end: Int[Array, ""],
) -> Float[Array, "Q K G V"]:
    """Attend with consecutive tokens of one request, from `position` to before `end`."""
    num_queries, num_kv_heads, group, head_dim = queries.shape
    count, block_tokens = layer.pages_per_block, layer.block_tokens
    page_table = jnp.pad(page_table, (0, -page_table.shape[0] % count))
    by_head = queries.transpose(1, 2, 0, 3).reshape(num_kv_heads, group * num_queries, head_dim)
    positions = jnp.tile(position + jnp.arange(num_queries), group)

    def step(block: Int[Array, ""], state: Softmax) -> Softmax:
        table = jax.lax.dynamic_slice_in_dim(page_table, block * count, count)
        keys, values = gather(layer.pages, table, form)
        scores = soft_capped(jnp.einsum("kqh,lkh->kql", by_head, keys), form)
        seen = block * block_tokens + jnp.arange(block_tokens)
        return _accumulate(state, scores, values, visible(seen, positions[:, None], layer.window))

    sinks = None if layer.sinks is None else jnp.repeat(layer.sinks, num_queries, axis=1)
    begun = begin(by_head, sinks, form)
    first = first_block(layer, position)
    done = jax.lax.fori_loop(first, -(-end // block_tokens), step, begun)
    # A query of padding may see nothing: what comes out for it is finite all the same.
    attended = done.out / jnp.maximum(done.total, jnp.finfo(jnp.float32).tiny)[..., None]
    attended = attended.reshape(num_kv_heads, group, num_queries, -1)
    return attended.transpose(2, 0, 1, 3)


def _accumulate(
    state: Softmax,
    scores: Float[Array, "K Q L"],
    values: Float[Array, "L K V"],
    sees: Bool[Array, "Q L"],
) -> Softmax:
    scores = jnp.where(sees, scores, MASKED)
    largest = jnp.maximum(state.largest, jnp.max(scores, axis=-1))
    # A block that a window hides from some queries has nothing but masked scores for them.
    weights = jnp.where(sees, jnp.exp(scores - largest[..., None]), 0.0)
    shrink = jnp.exp(state.largest - largest)
    return Softmax(
        largest,
        state.total * shrink + jnp.sum(weights, axis=-1),
        state.out * shrink[..., None] + jnp.einsum("kql,lkv->kqv", weights, values),
    )
