"""Paged flash attention in plain XLA, shaped for CPUs.

Both parts walk over blocks of `BLOCK_TOKENS` positions with a running (online) softmax, so that
memory is O(block), and stop after the last live one:

    decodes         all rows side by side, up to the longest live row
    prompt chunks   one after another; of each, blocks of QUERY_BLOCK tokens, each up to its end

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
"""Finite, so that a fully masked block gives weights and not NaN (they are scaled to 0 later)."""


class _Softmax(NamedTuple):
    """A softmax in progress: `total` and `out` are relative to exp(largest)."""

    largest: Float[Array, "*B"]
    total: Float[Array, "*B"]
    out: Float[Array, "*B H"]


def attend(
    queries: Float[Array, "T N H"],
    pages: Float[Array, "G S 2K H"],
    batch: Ragged,
    page_offset: Int[Array, ""] | int,
) -> Float[Array, "T N H"]:
    """See `ops.attention`."""
    num_tokens, num_heads, head_dim = queries.shape
    max_chunks = batch.starts.shape[0]
    num_kv_heads = pages.shape[2] // 2
    grouped = queries.astype(jnp.float32) * head_dim**-0.5
    grouped = grouped.reshape(num_tokens, num_kv_heads, num_heads // num_kv_heads, head_dim)
    out = _decodes(grouped[:max_chunks], pages, batch, page_offset)
    if num_tokens > max_chunks:
        out = jnp.pad(out, ((0, num_tokens - max_chunks), (0, 0), (0, 0), (0, 0)))
        out = _prompts(grouped, out, pages, batch, page_offset)
    return out.reshape(num_tokens, num_heads, head_dim).astype(queries.dtype)


def _decodes(
    queries: Float[Array, "R K G H"],
    pages: Float[Array, "P S 2K H"],
    batch: Ragged,
    page_offset: Int[Array, ""] | int,
) -> Float[Array, "R K G H"]:
    max_chunks = queries.shape[0]
    is_decode = jnp.arange(max_chunks) < batch.num_decodes
    ends = jnp.where(is_decode, batch.starts + 1, 0)
    page_tables, pages_per_block = _blocked(batch.page_tables, pages.shape[1])
    block_tokens = pages_per_block * pages.shape[1]

    def step(block: Int[Array, ""], state: _Softmax) -> _Softmax:
        table = jax.lax.dynamic_slice_in_dim(
            page_tables, block * pages_per_block, pages_per_block, axis=1
        )
        keys, values = _gather(pages, table + page_offset)
        scores = jnp.einsum("rkgh,rlkh->rkgl", queries, keys)
        visible = block * block_tokens + jnp.arange(block_tokens) < ends[:, None]
        scores = jnp.where(visible[:, None, None, :], scores, _MASKED)
        return _accumulate(state, scores, "rkgl,rlkh->rkgh", values)

    num_blocks = -(-jnp.max(ends, initial=0) // block_tokens)
    return _finish(jax.lax.fori_loop(0, num_blocks, step, _begin(queries)))


def _prompts(
    queries: Float[Array, "T K G H"],
    out: Float[Array, "T K G H"],
    pages: Float[Array, "P S 2K H"],
    batch: Ragged,
    page_offset: Int[Array, ""] | int,
) -> Float[Array, "T K G H"]:
    num_tokens = queries.shape[0]
    padding = ((0, QUERY_BLOCK), (0, 0), (0, 0), (0, 0))
    queries, out = jnp.pad(queries, padding), jnp.pad(out, padding)

    def chunk_step(chunk: Int[Array, ""], out: Array) -> Array:
        def block_step(block: Int[Array, ""], out: Array) -> Array:
            first = batch.offsets[chunk] + block * QUERY_BLOCK
            mine = jax.lax.dynamic_slice_in_dim(queries, first, QUERY_BLOCK)
            position = batch.starts[chunk] + block * QUERY_BLOCK
            end = jnp.minimum(position + QUERY_BLOCK, batch.starts[chunk] + batch.lengths[chunk])
            table = batch.page_tables[chunk] + page_offset
            attended = _prompt_block(mine, pages, table, position, end)
            return jax.lax.dynamic_update_slice_in_dim(out, attended, first, axis=0)

        num_blocks = -(-batch.lengths[chunk] // QUERY_BLOCK)
        return jax.lax.fori_loop(0, num_blocks, block_step, out)

    out = jax.lax.fori_loop(batch.num_decodes, batch.num_chunks, chunk_step, out)
    return out[:num_tokens]


def _prompt_block(
    queries: Float[Array, "Q K G H"],
    pages: Float[Array, "P S 2K H"],
    page_table: Int[Array, " P"],
    position: Int[Array, ""],
    end: Int[Array, ""],
) -> Float[Array, "Q K G H"]:
    """Attend with consecutive tokens of one request, the first at `position`."""
    page_tables, pages_per_block = _blocked(page_table[None], pages.shape[1])
    block_tokens = pages_per_block * pages.shape[1]
    positions = position + jnp.arange(queries.shape[0])
    queries = queries.transpose(1, 2, 0, 3)

    def step(block: Int[Array, ""], state: _Softmax) -> _Softmax:
        table = jax.lax.dynamic_slice_in_dim(
            page_tables[0], block * pages_per_block, pages_per_block
        )
        keys, values = _gather(pages, table)
        scores = jnp.einsum("kgqh,lkh->kgql", queries, keys)
        seen = block * block_tokens + jnp.arange(block_tokens)
        scores = jnp.where(seen <= positions[:, None], scores, _MASKED)
        return _accumulate(state, scores, "kgql,lkh->kgqh", values)

    done = jax.lax.fori_loop(0, -(-end // block_tokens), step, _begin(queries))
    return _finish(done).transpose(2, 0, 1, 3)


def _blocked(page_tables: Int[Array, "R P"], page_tokens: int) -> tuple[Int[Array, "R B"], int]:
    """Pad tables to whole blocks; also return how many pages a block has."""
    pages_per_block = max(1, BLOCK_TOKENS // page_tokens)
    missing = -page_tables.shape[1] % pages_per_block
    return jnp.pad(page_tables, ((0, 0), (0, missing))), pages_per_block


def _gather(
    pages: Float[Array, "P S 2K H"], table: Int[Array, "*R B"]
) -> tuple[Float[Array, "*R L K H"], Float[Array, "*R L K H"]]:
    """Bring a block's pages together: keys and values of L = B * S positions."""
    _, page_tokens, double_heads, head_dim = pages.shape
    found = pages.at[table].get(mode="clip").astype(jnp.float32)
    shape = (*table.shape[:-1], table.shape[-1] * page_tokens, double_heads // 2, 2, head_dim)
    found = found.reshape(shape)
    return found[..., 0, :], found[..., 1, :]


def _begin(queries: Float[Array, "*B H"]) -> _Softmax:
    shape = queries.shape[:-1]
    return _Softmax(
        jnp.full(shape, _MASKED, jnp.float32),
        jnp.zeros(shape, jnp.float32),
        jnp.zeros(queries.shape, jnp.float32),
    )


def _accumulate(
    state: _Softmax, scores: Float[Array, "*B L"], weighted: str, values: Array
) -> _Softmax:
    largest = jnp.maximum(state.largest, jnp.max(scores, axis=-1))
    weights = jnp.exp(scores - largest[..., None])
    shrink = jnp.exp(state.largest - largest)
    return _Softmax(
        largest,
        state.total * shrink + jnp.sum(weights, axis=-1),
        state.out * shrink[..., None] + jnp.einsum(weighted, weights, values),
    )


def _finish(state: _Softmax) -> Float[Array, "*B H"]:
    return state.out / jnp.maximum(state.total, 1e-30)[..., None]
