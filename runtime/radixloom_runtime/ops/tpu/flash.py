"""The kernel's second phase: attend, block by block, with a running (online) softmax.

    for each chunk of this block of queries:
        for each block of positions, from the window's begin to the queries' own:
            for each kv head:  scores = queries . keys;  largest, total, out go on

Scales of int8 pages are one for each position: they are multiplied into scores and weights, never
into keys and values. A latent's two parts are two products, each with its own scale.

Rows of scores are (query head of the group, token). A block of prompts' queries may hold tokens of
several chunks: each chunk is computed for all rows, and kept for its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas import tpu as pltpu

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.tpu.fetch import Fetcher, Span, Unit
from radixloom_runtime.ops.tpu.geometry import LANES, Geometry, round_up
from radixloom_runtime.ops.tpu.loops import Ref, Scalar, each
from radixloom_runtime.ops.tpu.scales import ScaleTiles

_MASKED = -1e30
_NOTHING = -1e29
"""Largest score before the first: above masked ones, so that these get the weight zero."""


class Softmax(NamedTuple):
    """Softmaxes in progress, [kv head, row, lanes]; numbers of a row fill its lanes."""

    largest: Ref
    total: Ref
    out: Ref


class Queries(NamedTuple):
    """One block of queries and where its result goes; refs are [kv head, row, lanes]."""

    queries: Ref
    result: Ref
    sinks: Ref | None
    rows: int


def softmax_buffers(geometry: Geometry) -> tuple[Any, ...]:
    """Return what to allocate."""
    heads, rows = geometry.heads_a_pass, max(geometry.decode_rows, geometry.prompt_rows)
    return (
        pltpu.VMEM((heads, rows, LANES), jnp.float32),
        pltpu.VMEM((heads, rows, LANES), jnp.float32),
        pltpu.VMEM((heads, rows, geometry.value_width), jnp.float32),
    )


class Flash(NamedTuple):
    """What all blocks of queries share."""

    geometry: Geometry
    form: Form
    fetcher: Fetcher
    softmax: Softmax

    def decodes(self, block: Scalar, queries_of: Callable[[Scalar], Queries]) -> None:
        """Attend with the decodes of one block; `queries_of` takes the index in the block."""

        def attend(chunk: Scalar) -> None:
            queries = queries_of(chunk - block * self.geometry.decode_tokens)
            self._attend(Unit(block, chunk), queries, self._decode_position, self._store_all)

        work = self.fetcher.work
        each(work.first[block], work.past[block], attend)

    def prompts(self, block: Scalar, queries: Queries) -> None:
        """Attend with all chunks that have tokens in one block."""
        queries.result[...] = jnp.zeros_like(queries.result)

        def attend(chunk: Scalar) -> None:
            self._attend(Unit(block, chunk), queries, self._row_positions, self._store_own)

        work = self.fetcher.work
        each(work.first[block], work.past[block], attend)

    def _attend(
        self,
        unit: Unit,
        queries: Queries,
        positions_of: Callable[[Unit, Span], Any],
        store: Callable[[Unit, Span, Queries], None],
    ) -> None:
        """Attend with one chunk."""
        span, after = self.fetcher.span(unit), self.fetcher.next_unit(unit)
        self.fetcher.begin_unit(after)
        self._begin(queries)
        positions = positions_of(unit, span)

        def attend(block: Scalar) -> None:
            slot = self.fetcher.advance(span, after, block)
            visible = self._visible(block, positions, queries.rows)
            scales = ScaleTiles(self.geometry, self.fetcher.buffers.pages, slot)
            for head in range(self.geometry.heads_a_pass):
                self._accumulate(queries, slot, head, visible, scales.of(head))

        each(span.first, span.past, attend)
        self.fetcher.end_unit()
        store(unit, span, queries)

    def _begin(self, queries: Queries) -> None:
        """Start before the first position: from nothing, or from the sinks."""
        softmax, rows = self.softmax, slice(0, queries.rows)
        shape = (self.geometry.heads_a_pass, queries.rows, LANES)
        if queries.sinks is None:
            softmax.largest[:, rows] = jnp.full(shape, _NOTHING, jnp.float32)
            softmax.total[:, rows] = jnp.zeros(shape, jnp.float32)
        else:
            softmax.largest[:, rows] = queries.sinks[...]
            softmax.total[:, rows] = jnp.ones(shape, jnp.float32)
        softmax.out[:, rows] = jnp.zeros((*shape[:2], softmax.out.shape[2]), jnp.float32)

    def _visible(self, block: Scalar, positions: Any, rows: int) -> Any:
        """Say which of a block's positions each row sees: [rows, positions]."""
        tokens = self.geometry.block_tokens
        seen = jax.lax.broadcasted_iota(jnp.int32, (rows, tokens), 1) + block * tokens
        visible = seen <= positions
        if self.fetcher.has_window:
            visible &= seen > positions - self.fetcher.work.numbers[3]
        return visible

    def _accumulate(
        self,
        queries: Queries,
        slot: Scalar,
        head: int,
        visible: Any,
        scales: tuple[Any, Any] | None,
    ) -> None:
        """Let one kv head's block of positions take part in the softmax."""
        geometry, softmax, pages = self.geometry, self.softmax, self.fetcher.buffers.pages
        rows = slice(0, queries.rows)
        query = queries.queries[head]
        scores = self._dots(query, slot, head, scales) * self.form.scale
        if self.form.soft_cap is not None:
            scores = self.form.soft_cap * jnp.tanh(scores / self.form.soft_cap)
        scores = jnp.where(visible, scores, _MASKED)
        before = softmax.largest[head, rows, :1]
        largest = jnp.maximum(before, jnp.max(scores, axis=1, keepdims=True))
        weights = jnp.exp(scores - largest)
        shrink = jnp.exp(before - largest)
        total = softmax.total[head, rows, :1] * shrink + jnp.sum(weights, axis=1, keepdims=True)
        values = pages[slot, :, geometry.head_lanes(head, geometry.row.value_span)]
        if scales is not None:
            weights *= scales[0 if self.form.is_latent else 1]
        read = _product(weights.astype(query.dtype), values, 0)
        softmax.largest[head, rows] = jnp.broadcast_to(largest, (queries.rows, LANES))
        softmax.total[head, rows] = jnp.broadcast_to(total, (queries.rows, LANES))
        softmax.out[head, rows] = softmax.out[head, rows] * shrink + read

    def _dots(self, query: Any, slot: Scalar, head: int, scales: tuple[Any, Any] | None) -> Any:
        """Multiply queries with one kv head's keys: [rows, positions]."""
        key_lanes, value_dim = self.geometry.row.key_lanes, self.form.value_dim

        def dots(query: Any, part: slice) -> Any:
            lanes = self.geometry.head_lanes(head, part)
            return _product(query[:, part], self.fetcher.buffers.pages[slot, :, lanes], 1)

        if scales is None:
            return dots(query, slice(0, key_lanes))
        if value_dim is None:
            return dots(query, slice(0, key_lanes)) * scales[0]
        is_value = jax.lax.broadcasted_iota(jnp.int32, query.shape, 1) < value_dim
        zeros = jnp.zeros_like(query)
        value = slice(0, round_up(value_dim, LANES))
        scores = dots(jnp.where(is_value, query, zeros), value) * scales[0]
        rest = slice(value_dim // LANES * LANES, key_lanes)
        if rest.start < rest.stop:
            scores += dots(jnp.where(is_value, zeros, query), rest) * scales[1]
        return scores

    def _decode_position(self, _: Unit, span: Span) -> Scalar:
        return span.end - 1

    def _token_of_row(self, block: Scalar) -> Any:
        """Number the step's tokens down the rows of a block of prompts' queries: [rows, 1]."""
        geometry = self.geometry
        row = jax.lax.broadcasted_iota(jnp.int32, (geometry.prompt_rows, 1), 0)
        first = (block - geometry.decode_blocks) * geometry.prompt_tokens
        return (row & (geometry.prompt_tokens - 1)) + first

    def _row_positions(self, unit: Unit, span: Span) -> Any:
        return self._token_of_row(unit.block) + (span.end - span.past_token)

    def _store_all(self, _unit: Unit, _span: Span, queries: Queries) -> None:
        for head in range(self.geometry.heads_a_pass):
            queries.result[head] = self._result(head, queries).astype(queries.result.dtype)

    def _store_own(self, unit: Unit, span: Span, queries: Queries) -> None:
        token = self._token_of_row(unit.block)
        is_own = (token >= span.low_token) & (token < span.past_token)
        for head in range(self.geometry.heads_a_pass):
            before = queries.result[head].astype(jnp.float32)
            result = jnp.where(is_own, self._result(head, queries), before)
            queries.result[head] = result.astype(queries.result.dtype)

    def _result(self, head: int, queries: Queries) -> Any:
        rows = slice(0, queries.rows)
        total = self.softmax.total[head, rows, :1]
        # Rows that are not this chunk's may have seen nothing.
        return self.softmax.out[head, rows] / jnp.where(total == 0.0, 1.0, total)


def _product(left: Any, right: Any, contracted: int) -> Any:
    """Multiply [rows, x] with [x, ...] or [..., x] in the left one's dtype, into float32."""
    exact = left.dtype == jnp.float32
    return jax.lax.dot_general(
        left,
        right.astype(left.dtype),
        (((1,), (contracted,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if exact else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )
