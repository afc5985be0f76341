"""The kernel's first phase: the step's own keys and values go into their pages.

Tiles are the least that can be copied, so a page's tile is read, changed and written back:

    new rows   [ . . . . a b c | d e f . . . . . ]   any alignment to the page's tiles: turned
    page       [ x x x x x a b c d e f . . . . . ]   (rolled) by the difference, then merged

Decodes: one tile each, as many in flight as a tile has rows. The guesses of one request are decodes
one after another, in the same tile: each goes on with the one before, and the last is written.
Prompts: some whole pages in flight;
a page that is filled from end to end is not read. All is written before anything is attended to,
since a chunk may read pages that another chunk of the same step fills.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from radixloom_runtime.ops.tpu.geometry import Geometry
from radixloom_runtime.ops.tpu.loops import Copy, Ref, Scalar, each
from radixloom_runtime.ops.tpu.work import Work


class WriteBuffers(NamedTuple):
    """Memory of the write phase."""

    tile_source: Ref
    """[rows, lanes]: the new rows of as many decodes."""
    tiles: Ref
    """[rows, rows, lanes]: the tiles that these decodes go to."""
    page_sources: Ref
    """[pages, S + rows, lanes]: new rows, from a multiple of `rows` on."""
    pages: Ref
    """[pages, S, lanes]: the pages that they go to."""
    sources_arrived: Ref
    arrived: Ref
    written: Ref


def write_buffers(geometry: Geometry, dtype: jnp.dtype) -> tuple[Any, ...]:
    """Return what to allocate."""
    rows, lanes, pages = geometry.tile_rows, geometry.pass_lanes, geometry.write_pages
    return (
        pltpu.VMEM((rows, lanes), dtype),
        pltpu.VMEM((rows, rows, lanes), dtype),
        pltpu.VMEM((pages, geometry.source_rows, lanes), dtype),
        pltpu.VMEM((pages, geometry.page_tokens, lanes), dtype),
        pltpu.SemaphoreType.DMA((pages,)),
        pltpu.SemaphoreType.DMA((max(rows, pages),)),
        pltpu.SemaphoreType.DMA,
    )


class Writer(NamedTuple):
    """Writes for one pass over the batch."""

    geometry: Geometry
    work: Work
    new_rows: Ref
    pool: Ref
    buffers: WriteBuffers
    lanes: Any

    def write_all(self) -> None:
        """Write all live tokens of the step; returns when they are in the pool."""
        num_decodes, num_chunks = self.work.numbers[0], self.work.numbers[1]
        each(0, pl.cdiv(num_decodes, self.geometry.tile_rows), self._write_decodes)
        each(num_decodes, num_chunks, lambda chunk: _ChunkWriter(self, chunk).write())

    def _write_decodes(self, group: Scalar) -> None:
        """Write as many decodes as a tile has rows."""
        rows = self.geometry.tile_rows
        first = pl.multiple_of(group * rows, rows)
        num = jnp.minimum(self.work.numbers[0] - first, rows)
        source = pltpu.make_async_copy(
            self.new_rows.at[pl.ds(first, rows), self.lanes],
            self.buffers.tile_source,
            self.buffers.sources_arrived.at[0],
        )

        def same_tile(index: Scalar, other: Scalar) -> Scalar:
            slots = self.work.slots
            return slots[first + index] // rows == slots[first + other] // rows

        def is_last(index: Scalar) -> Scalar:
            after = jnp.minimum(index + 1, num - 1)
            return (after == index) | ~same_tile(index, after)

        def merge_one(index: Scalar) -> None:
            self._read_tile(first, index).wait()
            before, tiles = jnp.maximum(index - 1, 0), self.buffers.tiles

            @pl.when((before < index) & same_tile(index, before))
            def _() -> None:
                tiles[index] = tiles[before]

            row = self.work.slots[first + index] % rows
            turn = jax.lax.rem(row - index + rows, rows)
            self.merge(self.buffers.tile_source, tiles.at[index], turn, row, row + 1)
            when_last(index, self._write_tile(first, index).start)

        def when_last(index: Scalar, do: Callable[[], None]) -> None:
            @pl.when(is_last(index))
            def _() -> None:
                do()

        source.start()
        each(0, num, lambda index: self._read_tile(first, index).start())
        source.wait()
        each(0, num, merge_one)
        each(0, num, lambda index: when_last(index, self._write_tile(first, index).wait))

    def _read_tile(self, first: Scalar, index: Scalar) -> Copy:
        target, arrived = self.buffers.tiles.at[index], self.buffers.arrived.at[index]
        return pltpu.make_async_copy(self._tile_of(first + index), target, arrived)

    def _write_tile(self, first: Scalar, index: Scalar) -> Copy:
        target = self._tile_of(first + index)
        return pltpu.make_async_copy(self.buffers.tiles.at[index], target, self.buffers.written)

    def _tile_of(self, token: Scalar) -> Ref:
        """Find the tile of the pool in which a token's slot is."""
        slot, rows, page_tokens = self.work.slots[token], self.geometry.tile_rows, self.page_tokens
        first_row = pl.multiple_of(slot % page_tokens // rows * rows, rows)
        page_id = slot // page_tokens + self.work.numbers[2]
        return self.pool.at[page_id, pl.ds(first_row, rows), self.lanes]

    def merge(self, new: Ref, old: Ref, turn: Scalar, low: Scalar, past: Scalar) -> None:
        """Put `new`, turned down by `turn` rows, into rows low ... past - 1 of `old`.

        In float32, where rows can be turned and chosen one by one; a head at a time, to need few
        registers. What is smaller comes through that unchanged, int8 too.
        """
        num_rows = old.shape[0]
        for at in self.geometry.pieces:
            turned = pltpu.roll(new[:, at].astype(jnp.float32), turn, 0)[:num_rows]
            row = jax.lax.broadcasted_iota(jnp.int32, turned.shape, 0)
            merged = jnp.where((row >= low) & (row < past), turned, old[:, at].astype(jnp.float32))
            old[:, at] = merged.astype(old.dtype)

    @property
    def page_tokens(self) -> int:
        """Tokens of a page."""
        return self.geometry.page_tokens


class _ChunkWriter(NamedTuple):
    """Writes the tokens of one prompt's chunk, some pages at a time."""

    writer: Writer
    chunk: Scalar

    def write(self) -> None:
        """Write all of them."""
        first = self._start // self.writer.page_tokens
        past = pl.cdiv(self._end, self.writer.page_tokens)
        at_once = self.writer.geometry.write_pages

        def some_pages(turn: Scalar) -> None:
            begin = first + turn * at_once
            num = jnp.minimum(past - begin, at_once)
            each(0, num, lambda index: self._read(begin + index, index))
            each(0, num, lambda index: self._merge(begin + index, index))
            each(0, num, lambda index: self._write_page(begin + index, index).wait())

        each(0, pl.cdiv(past - first, at_once), some_pages)

    @property
    def _start(self) -> Scalar:
        return self.writer.work.starts[self.chunk]

    @property
    def _end(self) -> Scalar:
        return self._start + self.writer.work.lengths[self.chunk]

    def _read(self, page_index: Scalar, index: Scalar) -> None:
        self._read_source(page_index, index).start()
        low, past = self._filled(page_index)

        @pl.when(past - low < self.writer.page_tokens)
        def _() -> None:
            self._read_page(page_index, index).start()

    def _merge(self, page_index: Scalar, index: Scalar) -> None:
        self._read_source(page_index, index).wait()
        low, past = self._filled(page_index)

        @pl.when(past - low < self.writer.page_tokens)
        def _() -> None:
            self._read_page(page_index, index).wait()

        num_rows, buffers = self.writer.geometry.source_rows, self.writer.buffers
        turn = jax.lax.rem(2 * num_rows - self._source_of(page_index)[1], num_rows)
        new, page = buffers.page_sources.at[index], buffers.pages.at[index]
        self.writer.merge(new, page, turn, low, past)
        self._write_page(page_index, index).start()

    def _filled(self, page_index: Scalar) -> tuple[Scalar, Scalar]:
        """Say which rows of a page are new: from the first to before the second."""
        before = page_index * self.writer.page_tokens
        past = jnp.minimum(self._end - before, self.writer.page_tokens)
        return jnp.maximum(self._start - before, 0), past

    def _source_of(self, page_index: Scalar) -> tuple[Scalar, Scalar]:
        """Return the first token to read, and how far after it the page's first row lies."""
        tile = self.writer.geometry.tile_rows
        before = page_index * self.writer.page_tokens - self._start
        wanted = self.writer.work.offsets[self.chunk] + before
        first = pl.multiple_of(jnp.maximum(wanted, 0) // tile * tile, tile)
        return first, wanted - first

    def _page_of(self, page_index: Scalar) -> Ref:
        w = self.writer
        before = jnp.maximum(page_index * w.page_tokens - self._start, 0)
        slot = w.work.slots[w.work.offsets[self.chunk] + before]
        return w.pool.at[slot // w.page_tokens + w.work.numbers[2], :, w.lanes]

    def _read_source(self, page_index: Scalar, index: Scalar) -> Copy:
        w = self.writer
        rows = pl.ds(self._source_of(page_index)[0], w.geometry.source_rows)
        target, arrived = w.buffers.page_sources.at[index], w.buffers.sources_arrived.at[index]
        return pltpu.make_async_copy(w.new_rows.at[rows, w.lanes], target, arrived)

    def _read_page(self, page_index: Scalar, index: Scalar) -> Copy:
        b = self.writer.buffers
        page = self._page_of(page_index)
        return pltpu.make_async_copy(page, b.pages.at[index], b.arrived.at[index])

    def _write_page(self, page_index: Scalar, index: Scalar) -> Copy:
        b = self.writer.buffers
        return pltpu.make_async_copy(b.pages.at[index], self._page_of(page_index), b.written)
