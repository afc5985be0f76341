"""Groups of rows times their experts' matrices, which are read where they lie, on a TPU.

    rows       a a a b | b b b b | b d d d      tiles of rows; group c is empty
    visits     a b       b         b d          a tile and an expert that has rows in it
    matrices   [layers, experts, in, out]       a visit fetches one expert's block [in, some out]

XLA's own grouped product wants one array of a layer's experts, and copies it out of the stack of
layers; here the layer is a number that says where blocks are fetched. Experts without rows are not
fetched at all; one whose rows span several tiles is fetched once for each block of outputs.

Where outputs are no whole tiles of lanes but inputs are, XLA lays matrices [in, out] in memory with
their inputs side by side, to fill tiles. They are taken so, as [out, in], or XLA would turn them;
quantized ones, whose scales lie the other way, are left to XLA's product.

Small numbers are made wide in the fast memory. Of two in a byte, the first of each belong to even
inputs and the second to odd ones; so even and odd inputs are multiplied apart, and added.
"""

from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from radixloom_runtime.ops.quantized import Matrix, QuantizedMatrix
from radixloom_runtime.ops.tpu.geometry import LANES, tile_rows
from radixloom_runtime.ops.tpu.loops import Ref, Scalar
from radixloom_runtime.ops.tpu.wide import (
    dot,
    multiply_block,
    parts_of_inputs,
    stored_arrays,
    wide_bytes,
)

BUDGET_BYTES = 12 << 20
"""Of the 16 MiB that every generation offers a kernel without asking."""

_TILE_ROWS = (128, 64, 32, 16)
_TILE_OUTS = (512, 256, 128)


class Visits(NamedTuple):
    """What the kernel does in turn: scalars that it reads before it fetches."""

    layer: Int[Array, " 1"]
    tile: Int[Array, " Q"]
    expert: Int[Array, " Q"]
    first: Int[Array, " E"]
    past: Int[Array, " E"]
    """Rows of each expert."""


class Tiles(NamedTuple):
    """Sizes of a block."""

    rows: int
    outs: int


def grouped_product(
    rows: Float[Array, "M I"],
    matrices: Matrix,
    layer: Int[Array, ""],
    group_sizes: Int[Array, " E"],
    *,
    interpret: bool = False,
) -> Float[Array, "M O"]:
    """Multiply each group of consecutive rows by its matrix of a layer, of [L, E, I, O].

    Rows of no group come out as anything. Raises: ValueError if `choose_tiles` finds none.
    """
    tiles = choose_tiles(rows, matrices)
    if tiles is None:
        raise ValueError(f"experts of {matrices.shape[2:]} do not fit a TPU's fast memory")
    num_rows, num_outs = rows.shape[0], matrices.shape[-1]
    padded = jnp.pad(rows, ((0, -num_rows % tiles.rows), (0, 0)))
    visits, num_visits = plan_visits(group_sizes, layer, tiles.rows, len(padded))
    parts = parts_of_inputs(padded, matrices)
    is_turned = lies_turned(matrices)
    stored = _fetched_arrays(matrices, layer)
    return pl.pallas_call(
        partial(_body, matrices, tiles, len(parts)),
        out_shape=jax.ShapeDtypeStruct((len(padded), num_outs), rows.dtype),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=len(visits),
            grid=(-(-num_outs // tiles.outs), num_visits),
            in_specs=[
                *(pl.BlockSpec((tiles.rows, part.shape[1]), _rows_block) for part in parts),
                *(_expert_spec(array, tiles.outs, is_turned=is_turned) for array in stored),
            ],
            out_specs=pl.BlockSpec((tiles.rows, tiles.outs), _out_block),
        ),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=interpret,
        name="grouped_product",
    )(*visits, *parts, *stored)[:num_rows]


def choose_tiles(rows: Float[Array, "M I"], matrices: Matrix) -> Tiles | None:
    """Choose the largest blocks that fit the fast memory: of outputs first; None if none does."""
    if lies_turned(matrices) and isinstance(matrices, QuantizedMatrix):
        return None
    num_outs = matrices.shape[-1]
    least = tile_rows(rows.dtype)
    wanted = max(least, -(-rows.shape[0] // least) * least)
    row_choices = [min(tile, wanted) for tile in _TILE_ROWS if tile >= least]
    out_choices = [outs for outs in _TILE_OUTS if outs < num_outs]
    if num_outs <= _TILE_OUTS[0]:
        out_choices.insert(0, num_outs)
    for outs, tile in product(out_choices, row_choices):
        if _memory_bytes(rows, matrices, Tiles(tile, outs)) <= BUDGET_BYTES:
            return Tiles(tile, outs)
    return None


def plan_visits(
    group_sizes: Int[Array, " E"], layer: Int[Array, ""], tile: int, num_rows: int
) -> tuple[Visits, Int[Array, ""]]:
    """List which expert is wanted for which tile, in the order of the rows; and how many."""
    past = jnp.cumsum(group_sizes)
    first = past - group_sizes
    tiles_each = jnp.where(group_sizes > 0, (past - 1) // tile - first // tile + 1, 0)
    until = jnp.cumsum(tiles_each)
    visit = jnp.arange(num_rows // tile + len(group_sizes) - 1)
    expert = jnp.minimum(jnp.sum(until <= visit[:, None], axis=1), len(group_sizes) - 1)
    before = (until - tiles_each)[expert]
    tile_index = jnp.clip(first[expert] // tile + visit - before, 0, num_rows // tile - 1)
    visits = Visits(layer.reshape(1), tile_index, expert, first, past)
    # Without any rows one visit is made for nothing: an empty grid was never tried on a TPU.
    return Visits(*(part.astype(jnp.int32) for part in visits)), jnp.maximum(until[-1], 1)


def lies_turned(matrices: Matrix) -> bool:
    """Tell whether matrices lie in memory with their inputs side by side."""
    num_in, num_out = stored_arrays(matrices)[0].shape[-2:]
    return num_out % LANES != 0 and num_in % LANES == 0


def _fetched_arrays(matrices: Matrix, layer: Int[Array, ""]) -> list[Array]:
    """Return what blocks are fetched from, [L, E, ...]; of one layer, it is taken already.

    Scales whose groups fill no tiles lie with experts side by side, and would be laid anew: so they
    are taken, which are few.
    """
    values, *small = stored_arrays(matrices)
    if lies_turned(matrices):
        return [jnp.swapaxes(values, 2, 3)]
    return [values, *(array if _fills_tiles(array) else array[layer][None] for array in small)]


def _fills_tiles(array: Array) -> bool:
    return array.shape[2] % tile_rows(array.dtype) == 0


def _expert_spec(array: Array, outs: int, *, is_turned: bool) -> pl.BlockSpec:
    """Say which block of one expert is fetched: all its inputs, some outputs."""

    def place(block: Scalar, visit: Scalar, *refs: Ref) -> tuple[Scalar, ...]:
        visits = Visits(*refs)
        within = (block, 0) if is_turned else (0, block)
        return (0 if len(array) == 1 else visits.layer[0]), visits.expert[visit], *within

    size = (outs, array.shape[3]) if is_turned else (array.shape[2], outs)
    return pl.BlockSpec((None, None, *size), place)


def _rows_block(_: Scalar, visit: Scalar, *visits: Ref) -> tuple[Scalar, ...]:
    return Visits(*visits).tile[visit], 0


def _out_block(outs: Scalar, visit: Scalar, *visits: Ref) -> tuple[Scalar, ...]:
    return Visits(*visits).tile[visit], outs


def _body(matrices: Matrix, tiles: Tiles, num_parts: int, *refs: Ref) -> None:
    """Multiply one tile by one expert's block, and keep the rows that are the expert's."""
    num_scalars = len(Visits._fields)
    visits, operands, out = Visits(*refs[:num_scalars]), refs[num_scalars:-1], refs[-1]
    parts, blocks = operands[:num_parts], operands[num_parts:]
    visit = pl.program_id(1)
    expert = visits.expert[visit]
    index = jax.lax.broadcasted_iota(jnp.int32, (tiles.rows, tiles.outs), 0)
    row = visits.tile[visit] * tiles.rows + index
    is_own = (row >= visits.first[expert]) & (row < visits.past[expert])
    read = [ref[...] for ref in blocks]
    if lies_turned(matrices):
        found = dot(parts[0][...], read[0], inputs=1)
    else:
        found = multiply_block([part[...] for part in parts], matrices, read)
    out[...] = jnp.where(is_own, found.astype(out.dtype), out[...])


def _memory_bytes(rows: Float[Array, "M I"], matrices: Matrix, tiles: Tiles) -> int:
    """Estimate what the kernel needs: all that is fetched twice, so that copies run ahead."""
    fetched = sum(
        array.shape[2] * tiles.outs * array.dtype.itemsize for array in stored_arrays(matrices)
    )
    num_in, itemsize = rows.shape[1], rows.dtype.itemsize
    results = tiles.rows * tiles.outs * (2 * itemsize + 4)
    return (
        2 * (fetched + tiles.rows * num_in * itemsize)
        + results
        + wide_bytes(matrices, num_in, tiles.outs, itemsize)
    )
