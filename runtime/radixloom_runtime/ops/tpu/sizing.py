"""How large the blocks of a kernel are: as large as its memory on any TPU allows.

Every generation offers a kernel 16 MiB without asking, v4 no more than that; so one budget serves
all, and the same kernel runs everywhere. What shrinks first: the heads of a pass (another pass
costs little, and v4 and v5p give passes to two cores), then positions at once, then queries.
"""

from itertools import product

import jax.numpy as jnp
from jaxtyping import Array

from radixloom_runtime.ops.attention import Form, Ragged
from radixloom_runtime.ops.kv_numbers import has_scales
from radixloom_runtime.ops.tpu.geometry import (
    LANES,
    Geometry,
    heads_a_tile,
    row_layout,
    tile_rows,
)

BUDGET_BYTES = 9 << 20
"""Of 16 MiB: the compiler spills registers to the rest."""

_POSITIONS_AT_ONCE = (256, 128)
_MOST_QUERY_ROWS = 256
_MOST_HEADS_A_PASS = 8
_MOST_DECODE_TOKENS = 16


def choose_geometry(
    queries: Array, keys: Array, pages: Array, batch: Ragged, form: Form
) -> Geometry:
    """Choose the sizes of a kernel by its operands' shapes; raises ValueError if none fits."""
    num_tokens, num_heads, head_dim = queries.shape
    num_kv_heads, page_tokens = keys.shape[1], pages.shape[1]
    rows, group = tile_rows(pages.dtype), num_heads // num_kv_heads
    if page_tokens % rows:
        raise ValueError(
            f"a page of {page_tokens} tokens is not made of whole tiles of {rows} rows, which"
            f" {pages.dtype} has on a TPU; set --page-tokens to a multiple of {rows}"
        )
    at_once = min(_MOST_DECODE_TOKENS, max(1, _MOST_QUERY_ROWS // group))
    decode_tokens = min(at_once, num_tokens)
    most_decodes = min(num_tokens, batch.starts.shape[0])
    row = row_layout(head_dim, form.value_dim)
    sharing = heads_a_tile(row, num_kv_heads, pages.dtype)
    heads_tried = [sharing] if sharing else _heads_a_pass(num_kv_heads)
    for prompt_tokens, positions, heads in product(
        _prompt_tokens(group, num_tokens), _POSITIONS_AT_ONCE, heads_tried
    ):
        geometry = Geometry(
            row=row,
            has_scales=has_scales(pages.dtype),
            page_tokens=page_tokens,
            tile_rows=rows,
            num_kv_heads=num_kv_heads,
            group=group,
            heads_a_pass=heads,
            block_pages=max(1, positions // page_tokens),
            decode_tokens=decode_tokens,
            decode_blocks=-(-most_decodes // decode_tokens),
            prompt_tokens=prompt_tokens,
            prompt_blocks=-(-num_tokens // prompt_tokens),
        )
        if memory_bytes(geometry, pages.dtype, queries.dtype) <= BUDGET_BYTES:
            return geometry
    raise ValueError(
        f"attention with {group} query heads of {head_dim} on a kv head, over pages of"
        f" {page_tokens} tokens, does not fit a TPU's fast memory; make --page-tokens smaller"
    )


def memory_bytes(geometry: Geometry, dtype: jnp.dtype, query_dtype: jnp.dtype) -> int:
    """Estimate what a kernel needs of the fast memory, apart from spilled registers."""
    g = geometry
    page_rows = (
        2 * g.block_tokens
        + g.tile_rows * (g.tile_rows + 1)
        + g.write_pages * (g.source_rows + g.page_tokens)
    )
    query_rows = g.heads_a_pass * (g.decode_tokens * g.decode_rows + g.prompt_rows)
    softmax_rows = g.heads_a_pass * max(g.decode_rows, g.prompt_rows)
    scores = max(g.decode_rows, g.prompt_rows) * g.block_tokens
    return (
        page_rows * g.pass_lanes * jnp.dtype(dtype).itemsize
        + 2 * query_rows * (g.row.key_lanes + g.value_width) * jnp.dtype(query_dtype).itemsize
        + softmax_rows * (2 * LANES + g.value_width) * 4
        + 3 * scores * 4
    )


def _prompt_tokens(group: int, num_tokens: int) -> list[int]:
    """Powers of two, largest first: no more than there are tokens, or rows to work on at once."""
    sizes = [1]
    while sizes[-1] < num_tokens and sizes[-1] * 2 * group <= _MOST_QUERY_ROWS:
        sizes.append(sizes[-1] * 2)
    return [size for size in reversed(sizes) if size * 8 > sizes[-1]]


def _heads_a_pass(num_kv_heads: int) -> list[int]:
    """Divisors of the number of kv heads, largest first."""
    most = min(num_kv_heads, _MOST_HEADS_A_PASS)
    return [heads for heads in range(most, 0, -1) if num_kv_heads % heads == 0]
