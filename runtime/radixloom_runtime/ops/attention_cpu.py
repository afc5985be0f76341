"""Paged flash attention in plain XLA, shaped for CPUs.

    for each chunk, for each block of its queries:           one query for a decode, or QUERY_BLOCK
        for each block of BLOCK_TOKENS positions up to the queries' own:
            gather the block's pages; go on with a running (online) softmax

So memory is O(block), and time grows with each request's own length: no row pays for a longer
neighbour or for its padded page table. (All decodes side by side, up to the longest, took twice
the time: the gathered keys no longer fit in cache.)

A block of queries may reach over its chunk's end. What it writes there is garbage that the next
chunk, which begins there, overwrites.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from radixloom_runtime.ops.attention import Ragged

BLOCK_TOKENS = 128
QUERY_BLOCK = 64

_MASKED = -1e30
"""Finite, so that a fully masked block gives weights and not NaN."""


class _Softmax(NamedTuple):
    """A softmax in progress: `total` and `out` are relative to exp(largest)."""

    largest: Float[Array, "*B"]
    total: Float[Array, "*B"]
    out: Float[Array, "*B H"]


def attend(
    queries: Float[Array, "T N H"],
    pages: Float[Array, "P S 2K H"],
    batch: Ragged,
    page_offset: Int[Array, ""] | int,
) -> Float[Array, "T N H"]:
    """See `ops.attention`."""
    num_tokens, num_heads, head_dim = queries.shape
    num_kv_heads = pages.shape[2] // 2
    batch = batch._replace(page_tables=batch.page_tables + page_offset)
    grouped = queries.astype(jnp.float32) * head_dim**-0.5
    grouped = grouped.reshape(num_tokens, num_kv_heads, num_heads // num_kv_heads, head_dim)
    out = jnp.zeros_like(grouped)
    out = _chunks(grouped, out, pages, batch, (0, batch.num_decodes), query_block=1)
    # Not skipped where there are as many chunks as tokens: a bucket for prompts may be so, too.
    padding = ((0, QUERY_BLOCK), (0, 0), (0, 0), (0, 0))
    grouped, out = jnp.pad(grouped, padding), jnp.pad(out, padding)
    prompts = (batch.num_decodes, batch.num_chunks)
    out = _chunks(grouped, out, pages, batch, prompts, query_block=QUERY_BLOCK)[:num_tokens]
    return out.reshape(num_tokens, num_heads, head_dim).astype(queries.dtype)


def _chunks(
    queries: Float[Array, "T K G H"],
    out: Float[Array, "T K G H"],
    pages: Float[Array, "P S 2K H"],
    batch: Ragged,
    chunks: tuple[Array | int, Array],
    *,
    query_block: int,
) -> Float[Array, "T K G H"]:
    """Write the result of chunks `first ... last - 1` into `out`."""

    def chunk_step(chunk: Int[Array, ""], out: Array) -> Array:
        def block_step(block: Int[Array, ""], out: Array) -> Array:
            skipped = block * query_block
            token, position = batch.offsets[chunk] + skipped, batch.starts[chunk] + skipped
            mine = jax.lax.dynamic_slice_in_dim(queries, token, query_block)
            end = batch.starts[chunk] + jnp.minimum(skipped + query_block, batch.lengths[chunk])
            attended = _query_block(mine, pages, batch.page_tables[chunk], position, end)
            return jax.lax.dynamic_update_slice_in_dim(out, attended, token, axis=0)

        num_blocks = -(-batch.lengths[chunk] // query_block)
        return jax.lax.fori_loop(0, num_blocks, block_step, out)

    return jax.lax.fori_loop(*chunks, chunk_step, out)


def _query_block(
    queries: Float[Array, "Q K G H"],
    pages: Float[Array, "P S 2K H"],
    page_table: Int[Array, " P"],
    position: Int[Array, ""],
    end: Int[Array, ""],
) -> Float[Array, "Q K G H"]:
    """Attend with consecutive tokens of one request, from `position` to before `end`."""
    num_queries, num_kv_heads, group, head_dim = queries.shape
    pages_per_block = max(1, BLOCK_TOKENS // pages.shape[1])
    block_tokens = pages_per_block * pages.shape[1]
    page_table = jnp.pad(page_table, (0, -page_table.shape[0] % pages_per_block))
    by_head = queries.transpose(1, 2, 0, 3).reshape(num_kv_heads, group * num_queries, head_dim)
    positions = jnp.tile(position + jnp.arange(num_queries), group)

    def step(block: Int[Array, ""], state: _Softmax) -> _Softmax:
        first_page = block * pages_per_block
        table = jax.lax.dynamic_slice_in_dim(page_table, first_page, pages_per_block)
        keys, values = _gather(pages, table)
        scores = jnp.einsum("kqh,lkh->kql", by_head, keys)
        seen = block * block_tokens + jnp.arange(block_tokens)
        scores = jnp.where(seen <= positions[:, None], scores, _MASKED)
        return _accumulate(state, scores, values)

    done = jax.lax.fori_loop(0, -(-end // block_tokens), step, _begin(by_head))
    attended = done.out / done.total[..., None]
    return attended.reshape(num_kv_heads, group, num_queries, head_dim).transpose(2, 0, 1, 3)


def _gather(
    pages: Float[Array, "P S 2K H"], table: Int[Array, " B"]
) -> tuple[Float[Array, "L K H"], Float[Array, "L K H"]]:
    """Bring a block's pages together: keys and values of L = B * S positions."""
    found = pages.at[table].get(mode="clip").astype(jnp.float32)
    found = found.reshape(-1, found.shape[2] // 2, 2, found.shape[3])
    return found[:, :, 0], found[:, :, 1]


def _begin(queries: Float[Array, "K Q H"]) -> _Softmax:
    largest = jnp.full(queries.shape[:-1], _MASKED, jnp.float32)
    return _Softmax(largest, jnp.zeros_like(largest), jnp.zeros_like(queries))


def _accumulate(
    state: _Softmax, scores: Float[Array, "K Q L"], values: Float[Array, "L K H"]
) -> _Softmax:
    largest = jnp.maximum(state.largest, jnp.max(scores, axis=-1))
    weights = jnp.exp(scores - largest[..., None])
    shrink = jnp.exp(state.largest - largest)
    return _Softmax(
        largest,
        state.total * shrink + jnp.sum(weights, axis=-1),
        state.out * shrink[..., None] + jnp.einsum("kql,lkh->kqh", weights, values),
    )
