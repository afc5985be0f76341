"""Ragged batches over scattered pages, and what every attention kernel must make of them.

Pages are made in the order of `attention_reference` (k0 v0 k1 v1 ...) and brought into the order
of the kernel that is tested.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from support.page_numbers import encoded, held

from radixloom_runtime.ops import attention_reference
from radixloom_runtime.ops.attention import Attention, Form, Ragged
from radixloom_runtime.ops.attention_tpu import TPUAttention
from radixloom_runtime.ops.tpu.geometry import LANES, heads_a_tile, row_layout

CHUNKS, TABLE = 5, 40
SCRATCH = CHUNKS * TABLE
SECOND_LAYER = SCRATCH + 1

MIXED = ((130, 16), ((0, 70), (127, 3), (250, 65)))
"""Decodes' positions, and (start, length) of prompts' chunks."""


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    page_tokens: int = 16
    value_dim: int | None = None


class Batch(NamedTuple):
    """Chunks as (start, length), decodes first, and which chunk shares another's first pages."""

    chunks: tuple[tuple[int, int], ...]
    num_decodes: int
    shares_with: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        return sum(length for _, length in self.chunks)


class Case(NamedTuple):
    """Numbers for a batch."""

    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray | None
    pages: np.ndarray
    ragged: Ragged
    sinks: np.ndarray
    batch: Batch


def batch_of(decodes: tuple[int, ...], prompts: tuple[tuple[int, int], ...]) -> Batch:
    return Batch((*((position, 1) for position in decodes), *prompts), len(decodes))


def make_case(
    batch: Batch, shape: Shape, *, num_tokens: int | None = None, dtype: str = "float32"
) -> Case:
    """Random numbers; padded to `num_tokens`, or a multiple of 16."""
    generator = np.random.default_rng(batch.num_tokens + shape.head_dim)
    num_tokens = num_tokens or max(16, -(-batch.num_tokens // 16) * 16)
    ragged = _ragged(batch, shape.page_tokens, num_tokens, generator)

    def numbers(*sizes: int) -> np.ndarray:
        # Rounded once: the reference then sees the numbers that the kernel sees.
        drawn = generator.normal(size=sizes).astype(np.float32)
        return np.asarray(jnp.asarray(drawn, dtype).astype(jnp.float32))

    latent = shape.value_dim is not None
    width = 1 if latent else 2 * shape.num_kv_heads
    tokens, head_dim = num_tokens, shape.head_dim
    return Case(
        queries=numbers(tokens, shape.num_heads, head_dim),
        keys=numbers(tokens, shape.num_kv_heads, head_dim),
        values=None if latent else numbers(tokens, shape.num_kv_heads, head_dim),
        pages=numbers(2 * SECOND_LAYER, shape.page_tokens, width, head_dim),
        ragged=ragged,
        sinks=numbers(shape.num_heads),
        batch=batch,
    )


def _ragged(
    batch: Batch, page_tokens: int, num_tokens: int, generator: np.random.Generator
) -> Ragged:
    tables = generator.permutation(SCRATCH).reshape(CHUNKS, TABLE)
    for chunk, owner in enumerate(batch.shares_with):
        shared = batch.chunks[chunk][0] // page_tokens
        tables[chunk, :shared] = tables[owner, :shared]
    slots = np.full(num_tokens, SCRATCH * page_tokens)
    live = [(chunk, start + i) for chunk, (start, n) in enumerate(batch.chunks) for i in range(n)]
    for token, (chunk, position) in enumerate(live):
        page = tables[chunk, position // page_tokens]
        slots[token] = page * page_tokens + position % page_tokens
    padding = [0] * (CHUNKS - len(batch.chunks))
    lengths = [length for _, length in batch.chunks]
    far = [2**31 - 1 for _ in padding]
    return Ragged(
        num_decodes=jnp.int32(batch.num_decodes),
        num_chunks=jnp.int32(len(batch.chunks)),
        starts=jnp.array([start for start, _ in batch.chunks] + padding, jnp.int32),
        lengths=jnp.array(lengths + padding, jnp.int32),
        offsets=jnp.array([*np.cumsum([0, *lengths])[:-1], *far], jnp.int32),
        page_tables=jnp.asarray(tables, jnp.int32),
        slots=jnp.asarray(slots, jnp.int32),
    )


def guessing_case(positions: range, shape: Shape) -> Case:
    """Decodes at consecutive positions of one request: its newest token, and guesses after it."""
    case = make_case(batch_of(tuple(positions), ()), shape)
    tables, slots = (np.array(case.ragged.page_tables), np.array(case.ragged.slots))
    tables[: len(positions)] = tables[0]
    for token, position in enumerate(positions):
        page = tables[0, position // shape.page_tokens]
        slots[token] = page * shape.page_tokens + position % shape.page_tokens
    ragged = case.ragged._replace(page_tables=jnp.asarray(tables), slots=jnp.asarray(slots))
    return case._replace(ragged=ragged)


def kernel_pages(
    kernel: Attention, pages: np.ndarray, shape: Shape, dtype: str = "float32"
) -> np.ndarray:
    """Bring pages from the reference's order into the kernel's, and into a dtype."""
    numbers, scales = encoded(pages, dtype, shape.value_dim)
    if not isinstance(kernel, TPUAttention):
        rows = np.concatenate([numbers, scales.astype(numbers.dtype)], axis=-1)
        rows = rows.view(kernel.page_dtype(jnp.dtype(dtype)))
        return rows if shape.value_dim is None else rows[:, :, 0]
    row = row_layout(shape.head_dim, shape.value_dim)
    rows = np.zeros((*pages.shape[:2], shape.num_kv_heads, row.lanes), numbers.dtype)
    if shape.value_dim is not None:
        rows[..., : shape.head_dim] = numbers
    else:
        rows[..., : shape.head_dim] = numbers[:, :, 0::2]
        rows[..., row.value_first : row.value_first + shape.head_dim] = numbers[:, :, 1::2]
    scales = scales.reshape(*rows.shape[:3], -1)
    sharing = heads_a_tile(row, shape.num_kv_heads, jnp.dtype(dtype))
    if not sharing:
        rows[..., row.used : row.used + scales.shape[-1]] = scales
        return rows.reshape(*pages.shape[:2], -1)
    tiles = np.zeros((*pages.shape[:2], shape.num_kv_heads // sharing, LANES), numbers.dtype)
    tiles[..., : 4 * sharing] = scales.reshape(*tiles.shape[:3], -1)
    heads = rows.reshape(*tiles.shape[:3], -1)
    return np.concatenate([heads, tiles], axis=-1).reshape(*pages.shape[:2], -1)


def check(
    kernel: Attention,
    case: Case,
    shape: Shape,
    form: Form,
    *,
    window: int | None = None,
    with_sinks: bool = False,
    dtype: str = "float32",
    pages_dtype: str = "",
    tolerance: float = 2e-5,
    reads: tuple[int, int] | None = None,
) -> None:
    """Assert that a kernel gives and writes what the formula says.

    The formula sees what pages of `pages_dtype` (empty: as `dtype`) know of keys and values.
    `reads`: a kernel reads from a multiple of the first number to a multiple of the second, and all
    other pages become NaN; whatever it did with them would be seen.
    """
    sinks = case.sinks if with_sinks else None
    pages_dtype = pages_dtype or dtype
    pages_given = case.pages if reads is None else _poisoned(case, shape, window, *reads)
    operands = (case.queries, case.keys, case.values)
    operands = jax.tree.map(lambda array: jnp.asarray(array, dtype), operands)
    with jax.default_matmul_precision("highest"):
        found, pages = jax.jit(kernel, static_argnums=6)(
            *operands,
            jnp.asarray(kernel_pages(kernel, pages_given, shape, pages_dtype)),
            case.ragged,
            SECOND_LAYER,
            form,
            window=None if window is None else jnp.int32(window),
            sinks=sinks,
        )
    written = attention_reference.write(
        case.pages, case.ragged, SECOND_LAYER, case.keys, case.values
    )
    known = held(written, pages_dtype, shape.value_dim)
    expected = attention_reference.attend(
        case.queries, known, case.ragged, SECOND_LAYER, form, window=window, sinks=sinks
    )
    if reads is not None:
        written = attention_reference.write(
            pages_given, case.ragged, SECOND_LAYER, case.keys, case.values
        )
    found = np.asarray(found.astype(jnp.float32))
    live = slice(case.batch.num_tokens)
    np.testing.assert_allclose(found[live], expected[live], atol=tolerance, rtol=tolerance)
    assert np.isfinite(found).all()
    scratch = SECOND_LAYER + SCRATCH
    wanted = kernel_pages(kernel, written, shape, pages_dtype)
    np.testing.assert_array_equal(_exact(pages)[:scratch], _exact(wanted)[:scratch])


def _exact(pages: jax.Array | np.ndarray) -> np.ndarray:
    """Widen what numpy has no name for."""
    return np.asarray(pages).astype(np.float32)


def _poisoned(
    case: Case, shape: Shape, window: int | None, begin_multiple: int, end_multiple: int
) -> np.ndarray:
    """Make NaN of all pages in which no chunk has something to read."""
    pages = np.full_like(case.pages, np.nan)
    for chunk, (start, length) in enumerate(case.batch.chunks):
        begin = 0 if window is None else max(0, start - window + 1)
        first = begin // begin_multiple * begin_multiple // shape.page_tokens
        end = -(-(start + length) // end_multiple) * end_multiple
        table = np.asarray(case.ragged.page_tables[chunk])
        live = table[first : -(-end // shape.page_tokens)] + SECOND_LAYER
        pages[live] = case.pages[live]
    return pages


@st.composite
def batches(draw: st.DrawFn, *, page_tokens: int, most_tokens: int) -> Batch:
    """Up to five chunks of at most `most_tokens` tokens; some read what others write."""
    num_chunks = draw(st.integers(0, CHUNKS))
    num_decodes = draw(st.integers(0, num_chunks))
    left = most_tokens - num_decodes
    chunks: list[tuple[int, int]] = []
    shares_with: list[int] = []
    for chunk in range(num_chunks):
        prompts_after = num_chunks - max(chunk + 1, num_decodes)
        length = 1 if chunk < num_decodes else draw(st.integers(1, left - prompts_after))
        left -= 0 if chunk < num_decodes else length
        start = draw(st.integers(0, TABLE * page_tokens - length))
        owner = draw(st.integers(0, chunk))
        filled = sum(chunks[owner]) // page_tokens * page_tokens if owner < chunk else 0
        if filled > 0 and not shares_with[owner] < owner:
            start = min(start, filled)
            start = start // page_tokens * page_tokens
        else:
            owner = chunk
        chunks.append((start, length))
        shares_with.append(owner)
    return Batch(tuple(chunks), num_decodes, tuple(shares_with))


forms = st.builds(
    Form,
    scale=st.sampled_from([0.1, 0.25, 1.0]),
    soft_cap=st.sampled_from([None, None, 4.0]),
)
pages_dtypes = st.sampled_from(["float32", "bfloat16", "float8_e4m3fn", "int8"])
windows = st.one_of(st.none(), st.integers(1, 700))
