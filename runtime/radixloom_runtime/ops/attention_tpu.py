"""Ragged paged flash attention for TPUs, as one Pallas kernel.

    grid (pass over some kv heads) x (block of queries: decodes first, then prompts)

    at a pass's first block:   write the step's keys and values into their pages     tpu/write
    at each block:             for each chunk in it, for each block of positions:
                                   pages come by copies that run ahead               tpu/fetch
                                   running softmax                                   tpu/flash

Around the kernel this module brings queries into the kernel's order and back: decodes as
[token, kv head, heads of the group], prompts as [block, kv head, head of the group x token].
How a token lies in a page: tpu/geometry. Not here: which kernel runs where (ops/attention_choice).

Cost: a block without work is an empty turn of the grid; otherwise it is the blocks of positions
between a chunk's window and its end, whatever the width of the page tables. Page tables stay in
HBM; a chunk's row comes when it is needed.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int, Num
from typing_extensions import override

from radixloom_runtime.ops.attention import Attention, Form, Ragged
from radixloom_runtime.ops.tpu.fetch import FetchBuffers, Fetcher, fetch_buffers
from radixloom_runtime.ops.tpu.flash import Flash, Queries, Softmax, softmax_buffers
from radixloom_runtime.ops.tpu.geometry import (
    LANES,
    Geometry,
    round_up,
    row_layout,
    tile_rows,
    token_lanes,
)
from radixloom_runtime.ops.tpu.loops import Ref, Scalar
from radixloom_runtime.ops.tpu.rows import new_token_rows
from radixloom_runtime.ops.tpu.sizing import choose_geometry
from radixloom_runtime.ops.tpu.work import Work, plan_work
from radixloom_runtime.ops.tpu.write import WriteBuffers, Writer, write_buffers

_NUM_SCALARS = len(Work._fields)


@dataclass(frozen=True)
class TPUAttention(Attention):
    """The kernel; see `ops.attention`."""

    interpret: Any = False
    """True or `pltpu.InterpretParams`: run without a TPU, to check numbers and copies."""

    @override
    def page_shape(
        self, num_kv_heads: int, head_dim: int, *, latent: bool, dtype: jnp.dtype
    ) -> tuple[int, ...]:
        # A latent's value is its begin: how long it is does not change the row.
        row = row_layout(head_dim, head_dim if latent else None)
        return (token_lanes(row, num_kv_heads, dtype),)

    @override
    def page_dtype(self, dtype: jnp.dtype) -> jnp.dtype:
        return dtype

    @override
    def page_multiple(self, dtype: jnp.dtype) -> int:
        return tile_rows(dtype)

    @override
    def __call__(
        self,
        queries: Float[Array, "T N H"],
        keys: Float[Array, "T K H"],
        values: Float[Array, "T K H"] | None,
        pages: Num[Array, "G S X"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
        form: Form,
        *,
        window: Int[Array, ""] | int | None = None,
        sinks: Float[Array, " N"] | None = None,
    ) -> tuple[Float[Array, "T N V"], Num[Array, "G S X"]]:
        num_tokens, num_heads, head_dim = queries.shape
        geometry = choose_geometry(queries, keys, pages, batch, form)
        new_rows = new_token_rows(keys, values, geometry, form, pages.dtype)
        new_rows = jnp.pad(new_rows, ((0, _padding_of_rows(geometry, num_tokens)), (0, 0)))
        to_lanes = geometry.row.key_lanes - head_dim
        grouped = queries.reshape(num_tokens, -1, geometry.group, head_dim)
        grouped = jnp.pad(grouped, ((0, 0), (0, 0), (0, 0), (0, to_lanes)))
        blocked = [_decode_order(grouped, geometry), _prompt_order(grouped, geometry)]
        blocked_sinks = [] if sinks is None else _sinks(sinks, geometry)
        work = plan_work(batch, page_offset, window, geometry)
        width = round_up(batch.page_tables.shape[1], LANES)
        tables = jnp.pad(batch.page_tables, ((0, 0), (0, width - batch.page_tables.shape[1])))
        call = _kernel(
            geometry,
            form,
            pages,
            queries.dtype,
            table_width=width,
            has_window=window is not None,
            has_sinks=sinks is not None,
            interpret=self.interpret,
        )
        decoded, prompted, pages = call(
            *work, *blocked, *blocked_sinks, new_rows, tables[:, None], pages
        )
        out = _join(decoded, prompted, batch.num_decodes, geometry, num_tokens)
        return out.reshape(num_tokens, num_heads, -1), pages


def _padding_of_rows(geometry: Geometry, num_tokens: int) -> int:
    """Rows after the last token that a copy of whole tiles may read."""
    return round_up(num_tokens, geometry.tile_rows) - num_tokens + geometry.source_rows


def _decode_order(grouped: Float[Array, "T K G H"], geometry: Geometry) -> Float[Array, "D K E H"]:
    num = geometry.decode_blocks * geometry.decode_tokens
    leading = grouped[:num]
    missing = num - leading.shape[0]
    heads = geometry.decode_rows - geometry.group
    return jnp.pad(leading, ((0, missing), (0, 0), (0, heads), (0, 0)))


def _prompt_order(grouped: Float[Array, "T K G H"], geometry: Geometry) -> Float[Array, "M K R H"]:
    num_tokens, num_kv_heads, group, head_dim = grouped.shape
    missing = geometry.prompt_blocks * geometry.prompt_tokens - num_tokens
    padded = jnp.pad(grouped, ((0, missing), (0, 0), (0, 0), (0, 0)))
    blocks = padded.reshape(-1, geometry.prompt_tokens, num_kv_heads, group, head_dim)
    return blocks.transpose(0, 2, 3, 1, 4).reshape(-1, num_kv_heads, geometry.prompt_rows, head_dim)


def _sinks(sinks: Float[Array, " N"], geometry: Geometry) -> list[Array]:
    """Spread the sinks over the rows of decodes' and of prompts' queries."""
    by_head = sinks.astype(jnp.float32).reshape(-1, geometry.group)
    decodes = jnp.pad(by_head, ((0, 0), (0, geometry.decode_rows - geometry.group)))
    prompts = jnp.repeat(by_head, geometry.prompt_tokens, axis=1)
    return [jnp.repeat(rows[..., None], LANES, axis=-1) for rows in (decodes, prompts)]


def _join(
    decoded: Float[Array, "D K E W"],
    prompted: Float[Array, "M K R W"],
    num_decodes: Int[Array, ""],
    geometry: Geometry,
    num_tokens: int,
) -> Float[Array, "T K G V"]:
    """Bring results back to the order of tokens."""
    value = geometry.row.value_in_span
    shape = (-1, geometry.num_kv_heads, geometry.group, geometry.prompt_tokens, prompted.shape[-1])
    by_token = prompted.reshape(shape)[..., value].transpose(0, 3, 1, 2, 4)
    by_token = by_token.reshape(-1, *by_token.shape[2:])[:num_tokens]
    leading = decoded[:num_tokens, :, : geometry.group, value]
    is_decode = jnp.arange(leading.shape[0])[:, None, None, None] < num_decodes
    leading = jnp.where(is_decode, leading, by_token[: leading.shape[0]])
    return jnp.concatenate([leading, by_token[leading.shape[0] :]])


def _kernel(
    geometry: Geometry,
    form: Form,
    pages: Array,
    dtype: jnp.dtype,
    *,
    table_width: int,
    has_window: bool,
    has_sinks: bool,
    interpret: Any,
) -> Any:
    """Make the call; operands are the scalars of `Work`, queries, sinks, rows, tables, pages."""
    kv_heads, width = geometry.num_kv_heads, geometry.value_width
    num_decodes = geometry.decode_blocks * geometry.decode_tokens
    in_specs, out_specs = _block_specs(geometry, has_sinks=has_sinks)
    return pl.pallas_call(
        partial(_body, geometry, form, has_window, has_sinks),
        out_shape=(
            jax.ShapeDtypeStruct((num_decodes, kv_heads, geometry.decode_rows, width), dtype),
            jax.ShapeDtypeStruct(
                (geometry.prompt_blocks, kv_heads, geometry.prompt_rows, width), dtype
            ),
            jax.ShapeDtypeStruct(pages.shape, pages.dtype),
        ),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=_NUM_SCALARS,
            grid=(geometry.passes, geometry.num_blocks),
            in_specs=in_specs,
            out_specs=out_specs,
            scratch_shapes=(
                *write_buffers(geometry, pages.dtype),
                *fetch_buffers(geometry, pages.dtype, table_width),
                *softmax_buffers(geometry),
            ),
        ),
        input_output_aliases={_NUM_SCALARS + len(in_specs) - 1: len(out_specs) - 1},
        compiler_params=pltpu.CompilerParams(
            # A pass touches its own heads' lanes only; its blocks go one after another.
            dimension_semantics=("parallel", "arbitrary"),
        ),
        interpret=interpret,
        name="ragged_paged_attention",
    )


def _block_specs(
    geometry: Geometry, *, has_sinks: bool
) -> tuple[list[pl.BlockSpec], list[pl.BlockSpec]]:
    """Say which part of the operands and results each turn of the grid works on.

    While decodes are worked on, the prompts' first block waits, and after them the last decodes'.
    """
    heads, before = geometry.heads_a_pass, geometry.decode_blocks
    key_lanes, width = geometry.row.key_lanes, geometry.value_width

    def decodes(index_of_pass: Scalar, block: Scalar, *_: Ref) -> tuple[Scalar, ...]:
        return jnp.minimum(block, before - 1), index_of_pass, 0, 0

    def prompts(index_of_pass: Scalar, block: Scalar, *_: Ref) -> tuple[Scalar, ...]:
        return jnp.maximum(block - before, 0), index_of_pass, 0, 0

    def whole(index_of_pass: Scalar, *_: Any) -> tuple[Scalar, ...]:
        return index_of_pass, 0, 0

    decode = (geometry.decode_tokens, heads, geometry.decode_rows)
    prompt = (None, heads, geometry.prompt_rows)
    in_hbm = pl.BlockSpec(memory_space=pl.ANY)
    queries = [
        pl.BlockSpec((*decode, key_lanes), decodes),
        pl.BlockSpec((*prompt, key_lanes), prompts),
    ]
    rows = (geometry.decode_rows, geometry.prompt_rows) if has_sinks else ()
    sinks = [pl.BlockSpec((heads, num_rows, LANES), whole) for num_rows in rows]
    results = [pl.BlockSpec((*decode, width), decodes), pl.BlockSpec((*prompt, width), prompts)]
    return [*queries, *sinks, in_hbm, in_hbm, in_hbm], [*results, in_hbm]


def _body(geometry: Geometry, form: Form, has_window: bool, has_sinks: bool, *refs: Any) -> None:  # noqa: FBT001
    """One block of queries in one pass."""
    refs_left = iter(refs)

    def take(num: int) -> list[Any]:
        return [next(refs_left) for _ in range(num)]

    work = Work(*take(_NUM_SCALARS))
    decode_queries, prompt_queries = take(2)
    decode_sinks, prompt_sinks = take(2) if has_sinks else (None, None)
    new_rows, tables, _ = take(3)
    decoded, prompted, pool = take(3)
    write = WriteBuffers(*take(len(WriteBuffers._fields)))
    fetch = FetchBuffers(*take(len(FetchBuffers._fields)))
    softmax = Softmax(*take(len(Softmax._fields)))
    first_lane = pl.multiple_of(pl.program_id(0) * geometry.pass_lanes, LANES)
    lanes = pl.ds(first_lane, geometry.pass_lanes)
    fetcher = Fetcher(geometry, work, has_window, tables, pool, fetch, lanes)
    flash = Flash(geometry, form, fetcher, softmax)
    block = pl.program_id(1)

    @pl.when(block == 0)
    def _() -> None:
        Writer(geometry, work, new_rows, pool, write, lanes).write_all()
        fetcher.begin()

    @pl.when(block < geometry.decode_blocks)
    def _() -> None:
        decoded[...] = jnp.zeros_like(decoded)
        flash.decodes(
            block,
            lambda index: Queries(
                decode_queries.at[index], decoded.at[index], decode_sinks, geometry.decode_rows
            ),
        )

    @pl.when(block >= geometry.decode_blocks)
    def _() -> None:
        flash.prompts(block, Queries(prompt_queries, prompted, prompt_sinks, geometry.prompt_rows))
