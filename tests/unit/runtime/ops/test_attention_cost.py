"""What attention costs, counted: it follows the tokens that are there, not the padded page table.

The real kernels run, and tell through a callback each time that they go round their inner loop (or,
on the TPU's, start the copy of a page). What they should have done is counted from the batch alone.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from support.attention_cases import (
    SECOND_LAYER,
    TABLE,
    Batch,
    Case,
    Shape,
    batch_of,
    kernel_pages,
    make_case,
)

from radixloom_runtime.ops import attention_cpu, attention_cpu_decode
from radixloom_runtime.ops.attention import Attention, Form
from radixloom_runtime.ops.attention_blocks import BLOCK_TOKENS
from radixloom_runtime.ops.attention_cpu import QUERY_BLOCK, CPUAttention
from radixloom_runtime.ops.attention_cpu_decode import MOST_TOGETHER
from radixloom_runtime.ops.attention_gpu import GPUAttention
from radixloom_runtime.ops.attention_tpu import TPUAttention
from radixloom_runtime.ops.gpu.flash import Flash
from radixloom_runtime.ops.gpu.sizes import choose_sizes
from radixloom_runtime.ops.tpu import fetch
from radixloom_runtime.ops.tpu.sizing import choose_geometry

SHAPE, FORM = Shape(4, 2, 64), Form(scale=0.125)

BATCHES = {
    "nothing": batch_of((), ()),
    "one short decode": batch_of((3,), ()),
    "decodes, one of them long": batch_of((3, 600, 40), ()),
    "prompts": batch_of((), ((0, 70), (127, 3), (250, 65))),
    "both": batch_of((130, 16), ((0, 70), (300, 30))),
}


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """What the kernels report: pages, or turns of the GPU's loop."""
    found: list[int] = []

    def telling(real: Callable[..., Any], how_many: Callable[..., int]) -> Callable[..., Any]:
        def told(*arguments: Any) -> Any:
            jax.debug.callback(found.append, how_many(*arguments))
            return real(*arguments)

        return told

    for module in (attention_cpu, attention_cpu_decode):
        gather = telling(module.gather, lambda pages, table, form: table.size)
        monkeypatch.setattr(module, "gather", gather)
    monkeypatch.setattr(fetch, "start", telling(fetch.start, lambda copy: 1))
    turn = telling(Flash._accumulate, lambda *arguments: 1)
    monkeypatch.setattr(Flash, "_accumulate", turn)
    return found


class Attend:
    """Attends with page tables of any width: what is beyond a chunk's pages is padding."""

    def __init__(self, kernel: Attention, window: int | None, table_width: int) -> None:
        """Compile once, when first called; counters are looked up then."""
        self._kernel, self._width = kernel, table_width
        self._compiled = jax.jit(partial(kernel, form=FORM, window=window))

    def __call__(self, case: Case) -> None:
        tables = case.ragged.page_tables
        padding = ((0, 0), (0, max(0, self._width - TABLE)))
        wide = jnp.pad(tables[:, : self._width], padding)
        pages = kernel_pages(self._kernel, case.pages, SHAPE)
        operands = map(jnp.asarray, (case.queries, case.keys, case.values, pages))
        batch = case.ragged._replace(page_tables=wide)
        jax.block_until_ready(self._compiled(*operands, batch, SECOND_LAYER))
        jax.effects_barrier()


def blocks(first_position: int, end: int, window: int | None, size: int) -> int:
    """Count blocks of positions from what the first of some queries sees to `end`."""
    begin = 0 if window is None else max(0, first_position - window + 1)
    return -(-end // size) - begin // size


def pieces(batch: Batch, size: int, *, aligned: bool = False) -> Iterator[tuple[int, int]]:
    """Cut prompts into (first position, end), `size` tokens each.

    They begin with their chunk, or `aligned` at multiples of `size` among the step's tokens.
    """
    offset = batch.num_decodes
    for start, length in batch.chunks[batch.num_decodes :]:
        token = offset
        while token < offset + length:
            past = (token // size + 1) * size if aligned else token + size
            past = min(past, offset + length)
            yield start + token - offset, start + past - offset
            token = past
        offset += length


def cpu_pages(batch: Batch, window: int | None) -> int:
    decodes = sum(
        blocks(start, start + 1, window, BLOCK_TOKENS)
        for start, _ in batch.chunks[: batch.num_decodes]
    )
    together = min(MOST_TOGETHER, 5)
    prompts = sum(blocks(*piece, window, BLOCK_TOKENS) for piece in pieces(batch, QUERY_BLOCK))
    return (-(-decodes // together) * together + prompts) * BLOCK_TOKENS // SHAPE.page_tokens


def tpu_pages(batch: Batch, window: int | None, case: Case) -> int:
    pages = jnp.asarray(kernel_pages(TPUAttention(), case.pages, SHAPE))
    geometry = choose_geometry(case.queries, case.keys, pages, case.ragged, FORM)
    decodes = [(start, start + 1) for start, _ in batch.chunks[: batch.num_decodes]]
    units = [*decodes, *pieces(batch, geometry.prompt_tokens, aligned=True)]
    whole = geometry.block_pages

    def of(first: int, end: int) -> int:
        before = -(-end // geometry.block_tokens) - blocks(
            first, end, window, geometry.block_tokens
        )
        return math.ceil(end / SHAPE.page_tokens) - before * whole

    return geometry.passes * sum(of(*unit) for unit in units)


def gpu_turns(batch: Batch, window: int | None) -> int:
    turns = 0
    for decodes in (True, False):
        sizes = choose_sizes(4, 2, 64, FORM, decodes=decodes)
        units = [(start, start + 1) for start, _ in batch.chunks[: batch.num_decodes]]
        if not decodes:
            units = list(pieces(batch, sizes.tokens))
        each = sum(blocks(*unit, window, sizes.positions) for unit in units)
        turns += each * sizes.num_kv_heads * sizes.head_blocks
    return turns


WIDE = 8 * TABLE
ALL = [(window, width) for window in (None, 20) for width in (TABLE, WIDE)]


@pytest.mark.parametrize(
    ("window", "table_width"),
    [(20, WIDE), *(pytest.param(*how, marks=pytest.mark.slow) for how in ALL[:3])],
)
def test_the_cpu_gathers_the_pages_of_live_blocks_and_no_others(counted, window, table_width):
    attend = Attend(CPUAttention(), window, table_width)
    for batch in BATCHES.values():
        counted.clear()
        attend(make_case(batch, SHAPE, num_tokens=144))
        assert sum(map(int, counted)) == cpu_pages(batch, window)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("window", "table_width"), ALL)
def test_the_tpu_copies_live_pages_and_no_others(counted, window, table_width):
    attend = Attend(TPUAttention(interpret=True), window, table_width)
    for batch in BATCHES.values():
        counted.clear()
        case = make_case(batch, SHAPE, num_tokens=144)
        attend(case)
        assert len(counted) == tpu_pages(batch, window, case)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("window", "table_width"), ALL)
def test_the_gpu_goes_over_live_blocks_and_no_others(counted, window, table_width):
    attend = Attend(GPUAttention(interpret=True), window, table_width)
    for batch in BATCHES.values():
        counted.clear()
        attend(make_case(batch, SHAPE, num_tokens=144))
        assert len(counted) == gpu_turns(batch, window)


@pytest.mark.slow
def test_one_long_request_makes_no_other_one_dearer(counted):
    costs: list[int] = []
    attend = Attend(CPUAttention(), None, TABLE)
    for batch in (batch_of((600,), ()), batch_of((3, 5, 600), ())):
        counted.clear()
        attend(make_case(batch, SHAPE))
        costs.append(sum(map(int, counted)))
    # Five blocks alone, seven in all: taken five at a time.
    assert costs == [5 * 8, 10 * 8]
