"""How pages come into the chip's fast memory while the block before is computed with.

The kernel's work is a chain of blocks of positions, over all chunks of all blocks of queries:

    unit (queries b, chunk c)   positions [ 0 | 1 | 2 ]    while block 1 is computed with, block 2
    unit (b, c + 1)             positions [ 0 | 1 ]        is copied; while the last one is, the
    unit (b', ...)              ...                        first block of the next unit is

Two slots for pages, and two for page tables: a unit's begin starts the copy of the next unit's
table. A cursor in scalar memory says which slots are current; it lives through the whole grid.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from radixloom_runtime.ops.tpu.geometry import Geometry
from radixloom_runtime.ops.tpu.loops import Copy, Ref, Scalar, each, start, wait
from radixloom_runtime.ops.tpu.work import Work


class Unit(NamedTuple):
    """One chunk's part of one block of queries."""

    block: Scalar
    chunk: Scalar


class Span(NamedTuple):
    """What a unit covers: its tokens among the step's, and the positions that they see."""

    low_token: Scalar
    past_token: Scalar
    end: Scalar
    """Position after the last token's."""
    first: Scalar
    past: Scalar
    """Blocks of positions, from first to past - 1."""


class FetchBuffers(NamedTuple):
    """Memory of the copies; all have two slots, but the cursor."""

    pages: Ref
    tables: Ref
    pages_arrived: Ref
    tables_arrived: Ref
    cursor: Ref
    """[slot of the pages, slot of the table]."""


def fetch_buffers(geometry: Geometry, dtype: jnp.dtype, table_width: int) -> tuple[Any, ...]:
    """Return what to allocate."""
    return (
        pltpu.VMEM((2, geometry.block_tokens, geometry.pass_lanes), dtype),
        pltpu.SMEM((2, 1, table_width), jnp.int32),
        pltpu.SemaphoreType.DMA((2,)),
        pltpu.SemaphoreType.DMA((2,)),
        pltpu.SMEM((2,), jnp.int32),
    )


class Fetcher(NamedTuple):
    """Copies for one pass over the batch."""

    geometry: Geometry
    work: Work
    has_window: bool
    tables: Ref
    pool: Ref
    buffers: FetchBuffers
    lanes: Any

    def begin(self) -> None:
        """Start the chain: the first unit's table and pages."""
        self.buffers.cursor[0] = 0
        self.buffers.cursor[1] = 0
        # What no page has filled yet is multiplied by zero weights, and must be finite.
        self.buffers.pages[...] = jnp.zeros_like(self.buffers.pages)
        block = self.work.following[0]

        @pl.when(block < self.geometry.num_blocks)
        def _() -> None:
            unit = Unit(block, self.work.first[block])
            self._table(unit.chunk, 0).start()
            self._table(unit.chunk, 0).wait()
            span = self.span(unit)
            self._each_page(span, span.first, 0, 0, start)

    def span(self, unit: Unit) -> Span:
        """Say what a unit covers."""
        g, work = self.geometry, self.work
        is_decode = unit.block < g.decode_blocks
        size = jnp.where(is_decode, g.decode_tokens, g.prompt_tokens)
        index = jnp.where(is_decode, unit.block, unit.block - g.decode_blocks)
        offset, position = work.offsets[unit.chunk], work.starts[unit.chunk]
        low = jnp.maximum(index * size, offset)
        past = jnp.minimum((index + 1) * size, offset + work.lengths[unit.chunk])
        end = position + past - offset
        first = 0
        if self.has_window:
            seen = position + low - offset - work.numbers[3] + 1
            first = jnp.maximum(seen, 0) // g.block_tokens
        return Span(low, past, end, first, pl.cdiv(end, g.block_tokens))

    def next_unit(self, unit: Unit) -> Unit:
        """Return the unit after this one; its block is num_blocks after the last."""
        stays = unit.chunk + 1 < self.work.past[unit.block]
        later = self.work.following[unit.block + 1]
        block = jnp.where(stays, unit.block, later)
        first = self.work.first[jnp.minimum(later, self.geometry.num_blocks - 1)]
        return Unit(block, jnp.where(stays, unit.chunk + 1, first))

    def begin_unit(self, after: Unit) -> None:
        """Start the copy of the next unit's page table."""

        @pl.when(after.block < self.geometry.num_blocks)
        def _() -> None:
            self._table(after.chunk, 1 - self.buffers.cursor[1]).start()

    def end_unit(self) -> None:
        """Make the next unit's table the current one."""
        self.buffers.cursor[1] = 1 - self.buffers.cursor[1]

    def advance(self, span: Span, after: Unit, block: Scalar) -> Scalar:
        """Start the next block's copies, wait for those of `block`; returns its slot."""
        slot, table = self.buffers.cursor[0], self.buffers.cursor[1]
        is_last = block + 1 == span.past

        @pl.when(jnp.logical_not(is_last))
        def _() -> None:
            self._each_page(span, block + 1, 1 - slot, table, start)

        @pl.when(is_last & (after.block < self.geometry.num_blocks))
        def _() -> None:
            self._table(after.chunk, 1 - table).wait()
            later = self.span(after)
            self._each_page(later, later.first, 1 - slot, 1 - table, start)

        self._each_page(span, block, slot, table, wait)
        self.buffers.cursor[0] = 1 - slot
        return slot

    def _table(self, chunk: Scalar, slot: Scalar) -> Copy:
        target, arrived = self.buffers.tables.at[slot], self.buffers.tables_arrived.at[slot]
        return pltpu.make_async_copy(self.tables.at[chunk], target, arrived)

    def _each_page(
        self, span: Span, block: Scalar, slot: Scalar, table: Scalar, do: Callable[[Copy], None]
    ) -> None:
        """Start, or wait for, the copies of a block's live pages."""
        g = self.geometry
        before = block * g.block_pages
        num_live = jnp.minimum(pl.cdiv(span.end, g.page_tokens) - before, g.block_pages)

        def page(index: Scalar) -> None:
            page_id = self.buffers.tables[table, 0, before + index] + self.work.numbers[2]
            rows = pl.ds(pl.multiple_of(index * g.page_tokens, g.page_tokens), g.page_tokens)
            target, arrived = self.buffers.pages.at[slot, rows], self.buffers.pages_arrived
            do(
                pltpu.make_async_copy(
                    self.pool.at[page_id, :, self.lanes], target, arrived.at[slot]
                )
            )

        each(0, num_live, page)
