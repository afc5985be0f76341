"""One program of the GPU's kernel: some tokens of one chunk, the heads of one kv head.

    for each block of positions, from the window's begin to the program's last token:
        look up their pages, load keys and values;  running (online) softmax

Its loop has as many turns as it has live blocks; tables are read where a position needs its page.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.gpu.sizes import Part, Sizes
from radixloom_runtime.ops.gpu.work import Work
from radixloom_runtime.ops.kv_numbers import SCALE_BYTES, has_scales, scale_of

Ref = Any
"""Memory of the GPU."""
Block = Any
"""An array in a program's registers; a traced number, too."""

_MASKED = -1e30
_NOTHING = -1e29
"""Largest score before the first: above masked ones, so that these get the weight zero."""


class Operands(NamedTuple):
    """What a program reads."""

    work: Work
    window: Ref
    tables: Ref
    queries: Ref
    pages: Ref
    sinks: Ref | None


class Rows(NamedTuple):
    """The queries of a program, [rows] each."""

    token: Block
    head: Block
    position: Block
    is_live: Block


class Softmax(NamedTuple):
    """A softmax in progress: `total` and `out` are relative to exp(largest)."""

    largest: Block
    total: Block
    out: Block


class Span(NamedTuple):
    """Whose history a program reads, and to where."""

    chunk: Block
    kv_head: Block
    position: Block
    """Of the program's first token."""
    end: Block
    """Position after its last token's."""


@dataclass(frozen=True, slots=True)
class Flash:
    """What all programs share, known when they are compiled."""

    sizes: Sizes
    form: Form
    has_window: bool

    def run(self, operands: Operands, out: Ref) -> None:
        """Do the work of one program."""
        # All asked for here: interpreted, a branch does not know which program it is in.
        block, kv_head, head_block = (pl.program_id(axis) for axis in range(3))
        work = operands.work
        chunk, count = work.chunks[block], work.counts[block]
        token, position = work.tokens[block], work.positions[block]

        @pl.when(count > 0)
        def _() -> None:
            span = Span(chunk, kv_head, position, position + count)
            rows = self._rows(span, token, head_block)
            self._store(rows, self._attend(operands, rows, span), out)

    def _rows(self, span: Span, first_token: Block, head_block: Block) -> Rows:
        s = self.sizes
        row = jnp.arange(s.rows, dtype=jnp.int32)
        token, in_group = row // s.heads, head_block * s.heads + row % s.heads
        position = span.position + token
        return Rows(
            token=first_token + token,
            head=span.kv_head * s.group + in_group,
            position=position,
            is_live=(position < span.end) & (in_group < s.group),
        )

    def _attend(self, operands: Operands, rows: Rows, span: Span) -> Softmax:
        """Go over all live blocks of positions."""
        at_once = self.sizes.positions
        queries = [_query_part(operands.queries, rows, part) for part in self.sizes.parts]
        first, window = 0, None
        if self.has_window:
            window = operands.window[0]
            first = jnp.maximum(span.position - window + 1, 0) // at_once

        def step(index: Block, softmax: Softmax) -> Softmax:
            position = index * at_once + jnp.arange(at_once, dtype=jnp.int32)
            sees = position[None] <= rows.position[:, None]
            if window is not None:
                sees &= position[None] > rows.position[:, None] - window
            return self._accumulate(operands, queries, span, position, sees, softmax)

        return jax.lax.fori_loop(
            first, pl.cdiv(span.end, at_once), step, self._begin(operands, rows)
        )

    def _begin(self, operands: Operands, rows: Rows) -> Softmax:
        """Start before the first position: from nothing, or from the sinks."""
        num_rows = self.sizes.rows
        out = jnp.zeros((num_rows, self.sizes.value.padded), jnp.float32)
        if operands.sinks is None:
            nothing = jnp.full((num_rows,), _NOTHING, jnp.float32)
            return Softmax(nothing, jnp.zeros((num_rows,), jnp.float32), out)
        sinks = triton.load(operands.sinks.at[rows.head], mask=rows.is_live, other=0.0)
        return Softmax(sinks, jnp.ones((num_rows,), jnp.float32), out)

    def _accumulate(
        self,
        operands: Operands,
        queries: list[Block],
        span: Span,
        position: Block,
        sees: Block,
        softmax: Softmax,
    ) -> Softmax:
        """Let one block of positions take part in the softmax."""
        reader = _Reader(operands, span, self.form, position)
        keys = [reader.key(index, part) for index, part in enumerate(self.sizes.parts)]
        pairs = zip(queries, keys, strict=True)
        scores = sum(_product(query, key.T) * scale for query, (key, scale) in pairs)
        scores = scores * self.form.scale
        if self.form.soft_cap is not None:
            scores = self.form.soft_cap * jnp.tanh(scores / self.form.soft_cap)
        scores = jnp.where(sees, scores, _MASKED)
        largest = jnp.maximum(softmax.largest, jnp.max(scores, axis=1))
        weights = jnp.exp(scores - largest[:, None])
        shrink = jnp.exp(softmax.largest - largest)
        value, scale = keys[0] if self.form.is_latent else reader.value(self.sizes.value)
        read = _product((weights * scale).astype(value.dtype), value)
        return Softmax(
            largest,
            softmax.total * shrink + jnp.sum(weights, axis=1),
            softmax.out * shrink[:, None] + read,
        )

    def _store(self, rows: Rows, softmax: Softmax, out: Ref) -> None:
        value = self.sizes.value
        # Rows that are not live may have seen nothing.
        total = jnp.where(softmax.total == 0.0, 1.0, softmax.total)
        read = (softmax.out / total[:, None]).astype(out.dtype)
        lane = jnp.arange(value.padded, dtype=jnp.int32)[None]
        where = out.at[rows.token[:, None], rows.head[:, None], lane]
        triton.store(where, read, mask=rows.is_live[:, None] & (lane < value.width))


class _Reader:
    """Loads keys and values of one block of positions, as numbers and scales."""

    def __init__(self, operands: Operands, span: Span, form: Form, position: Block) -> None:
        """Look up where they lie."""
        self._pages, self._queries, self._form = operands.pages, operands.queries, form
        self._is_live = position < span.end
        page_tokens = operands.pages.shape[1]
        table = operands.tables.at[span.chunk, position // page_tokens]
        self._page = triton.load(table, mask=self._is_live, other=0)
        self._place = position % page_tokens
        self._kv_head = span.kv_head

    def key(self, index: int, part: Part) -> tuple[Block, Block]:
        """Load a part of the keys [positions, padded]; and its scale, [1, positions]."""
        scale_of_part = index if self._form.is_latent else 0
        return self._numbers(2 * self._kv_head, part), self._scale(2 * self._kv_head, scale_of_part)

    def value(self, part: Part) -> tuple[Block, Block]:
        """Load values [positions, padded]; and their scale, [1, positions]."""
        return self._numbers(2 * self._kv_head + 1, part), self._scale(2 * self._kv_head + 1, 0)

    def _numbers(self, vector: Block, part: Part) -> Block:
        lane = jnp.arange(part.padded, dtype=jnp.int32)[None]
        mask = self._is_live[:, None] & (lane < part.width)
        found = self._load(vector, part.first + lane, mask).astype(self._queries.dtype)
        return jnp.where(mask, found, 0)

    def _scale(self, vector: Block, index: int) -> Block:
        if not has_scales(self._pages.dtype):
            return 1.0
        scales = 2 if self._form.is_latent else 1
        first = self._pages.shape[-1] - (scales - index) * SCALE_BYTES

        def byte(lane: int) -> Block:
            lanes = jnp.full((self._page.shape[0], 1), lane, jnp.int32)
            return self._load(vector, lanes, self._is_live[:, None]).astype(jnp.int32)

        scale = jnp.where(self._is_live[:, None], scale_of(byte(first), byte(first + 1)), 0)
        return scale.T

    def _load(self, vector: Block, lane: Block, mask: Block) -> Block:
        page, place = self._page[:, None], self._place[:, None]
        if self._form.is_latent:
            where = self._pages.at[page, place, lane]
        else:
            where = self._pages.at[page, place, vector, lane]
        # What is masked is anything: Triton has no zero of eight bits to put there.
        return triton.load(where, mask=mask)


def _query_part(queries: Ref, rows: Rows, part: Part) -> Block:
    lane = jnp.arange(part.padded, dtype=jnp.int32)[None]
    where = queries.at[rows.token[:, None], rows.head[:, None], part.first + lane]
    mask = rows.is_live[:, None] & (lane < part.width)
    return triton.load(where, mask=mask, other=0)


def _product(left: Block, right: Block) -> Block:
    """Multiply into float32; float32 operands are not rounded first."""
    exact = left.dtype == jnp.float32
    return jax.lax.dot_general(
        left,
        right,
        (((1,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if exact else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )
