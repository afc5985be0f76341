"""The CPU's attention of decodes: the live blocks of all rows in one list, several at a time.

    rows              a: 300 tokens    b: 40    c: 130         (one query each, the newest token)
    list of blocks    [ a0 a1 a2 | b0 | c0 c1 ]                128 tokens each, only live ones
    taken together    [ a0 a1 a2 b0 ] [ c0 c1 - - ]            each adds to its row's softmax

One by one, a block's few small operations cost more than their arithmetic; all rows side by side
up to the longest, short rows would pay for long ones and the keys would not fit in cache.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from radixloom_runtime.ops.attention import Form
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

MOST_TOGETHER = 8
"""Blocks at a time: more of them no longer fit in cache."""


class _Taken(NamedTuple):
    """Some blocks of the list."""

    row: Int[Array, " I"]
    block: Int[Array, " I"]
    is_live: Bool[Array, " I"]


def attend(queries: Float[Array, "R K G H"], layer: Layer, form: Form) -> Float[Array, "R K G V"]:
    """Attend with the newest token of each row that decodes; other rows give zeros.

    `queries` are already scaled, and in float32.
    """
    num_rows = queries.shape[0]
    together = min(MOST_TOGETHER, num_rows)
    first, until = _list_blocks(layer, num_rows)

    def step(index: Int[Array, ""], state: Softmax) -> Softmax:
        taken = _take(index * together + jnp.arange(together), first, until)
        return _add(state, _softmax_of_blocks(queries, layer, form, taken), taken)

    done = jax.lax.fori_loop(0, -(-until[-1] // together), step, begin(queries, layer.sinks, form))
    return done.out / jnp.maximum(done.total, jnp.finfo(jnp.float32).tiny)[..., None]


def _list_blocks(layer: Layer, num_rows: int) -> tuple[Int[Array, " R"], Int[Array, " R"]]:
    """Return each row's first block, and where its blocks end in the list."""
    batch = layer.batch
    last = batch.starts[:num_rows] // layer.block_tokens
    first = first_block(layer, batch.starts[:num_rows]) + jnp.zeros_like(last)
    decodes = jnp.arange(num_rows) < batch.num_decodes
    return first, jnp.cumsum(jnp.where(decodes, last - first + 1, 0))


def _take(index: Int[Array, " I"], first: Int[Array, " R"], until: Int[Array, " R"]) -> _Taken:
    row = jnp.minimum(jnp.sum(until <= index[:, None], axis=1), until.shape[0] - 1)
    begins = jnp.where(row > 0, until[row - 1], 0)
    return _Taken(row, first[row] + index - begins, index < until[-1])


def _softmax_of_blocks(
    queries: Float[Array, "R K G H"], layer: Layer, form: Form, taken: _Taken
) -> Softmax:
    """Attend to one block each."""
    tables, count = layer.batch.page_tables, layer.pages_per_block
    columns = taken.block[:, None] * count + jnp.arange(count)
    table = tables[taken.row[:, None], jnp.minimum(columns, tables.shape[1] - 1)]
    keys, values = gather(layer.pages, table, form)
    scores = soft_capped(jnp.einsum("ikgh,ilkh->ikgl", queries[taken.row], keys), form)
    seen = taken.block[:, None] * layer.block_tokens + jnp.arange(layer.block_tokens)
    sees = visible(seen, layer.batch.starts[taken.row][:, None], layer.window)
    sees = (sees & taken.is_live[:, None])[:, None, None]
    scores = jnp.where(sees, scores, MASKED)
    largest = jnp.max(scores, axis=-1)
    weights = jnp.where(sees, jnp.exp(scores - largest[..., None]), 0.0)
    out = jnp.einsum("ikgl,ilkv->ikgv", weights, values)
    return Softmax(largest, jnp.sum(weights, axis=-1), out)


def _add(state: Softmax, blocks: Softmax, taken: _Taken) -> Softmax:
    """Add blocks to the softmax of their rows; a row may have several among them."""
    largest = state.largest.at[taken.row].max(blocks.largest)
    shrink = jnp.exp(state.largest - largest)
    weight = jnp.exp(blocks.largest - largest[taken.row])
    total = (state.total * shrink).at[taken.row].add(blocks.total * weight)
    out = (state.out * shrink[..., None]).at[taken.row].add(blocks.out * weight[..., None])
    return Softmax(largest, total, out)
