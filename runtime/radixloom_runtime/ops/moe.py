"""Tokens to experts and back: rows by expert, and one matrix product per group of rows.

    tokens      a b c            each goes to its k best experts
    rows        a0 c0 | b1 | a2 b2 c3 ...    sorted by expert: groups, of which many are empty
    products    each group times its expert's matrix

Cost grows with the rows and the experts that have some, never with all experts times all tokens.

    CPU      a loop over blocks of rows
    TPU      `ops.tpu.grouped`, out of the stack of layers
    else     XLA's ragged product, of a copy of the layer's experts
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from radixloom_runtime.ops.of_layer import OfLayer
from radixloom_runtime.ops.quantized import Largest, Matrix, dense, product, rounded
from radixloom_runtime.ops.tpu.grouped import choose_tiles, grouped_product

BLOCK_ROWS = 16
"""Rows that one product of the CPU's loop takes at once."""


class Routing(NamedTuple):
    """Rows in the order of their experts."""

    token_of_row: Int[Array, " M"]
    weight_of_row: Float[Array, " M"]
    group_sizes: Int[Array, " E"]


def route(weights: Float[Array, "T X"], experts: Int[Array, "T X"], num_experts: int) -> Routing:
    """Sort by expert the rows of tokens whose experts are chosen and weighed."""
    order = jnp.argsort(experts.ravel(), stable=True)
    sizes = jnp.zeros(num_experts, jnp.int32).at[experts.ravel()].add(1)
    return Routing(order // experts.shape[1], weights.ravel()[order], sizes)


def held_by(routing: Routing, first: Int[Array, ""] | int, num_experts: int) -> Routing:
    """Keep the rows of `num_experts` experts from `first` on, moved to the front.

    The others stay behind them, in no group and with a weight of zero.
    """
    if num_experts == routing.group_sizes.shape[0]:
        return routing
    sizes = routing.group_sizes
    before = jnp.sum(jnp.where(jnp.arange(len(sizes)) < first, sizes, 0))
    held = jax.lax.dynamic_slice_in_dim(sizes, first, num_experts)
    token_of_row, weight_of_row = (jnp.roll(part, -before) for part in routing[:2])
    is_held = jnp.arange(len(token_of_row)) < jnp.sum(held)
    return Routing(token_of_row, jnp.where(is_held, weight_of_row, 0), held)


def expert_of_row(routing: Routing) -> Int[Array, " M"]:
    """Return each row's expert, of those in `group_sizes`; any, for a row in no group."""
    until = jnp.cumsum(routing.group_sizes)
    rows = jnp.arange(len(routing.token_of_row))
    return jnp.minimum(jnp.searchsorted(until, rows, side="right"), len(until) - 1)


def combine(rows: Float[Array, "M D"], routing: Routing, num_tokens: int) -> Float[Array, "T D"]:
    """Add up what each token's experts gave, weighted; in float32."""
    weights = routing.weight_of_row[:, None]
    # What a product leaves in rows of no group is not defined: it may be no number at all.
    weighted = jnp.where(weights == 0, 0, rows.astype(jnp.float32) * weights)
    total = jnp.zeros((num_tokens, rows.shape[-1]), jnp.float32)
    return total.at[routing.token_of_row].add(weighted).astype(rows.dtype)


def grouped_matmul(
    rows: Float[Array, "M I"],
    matrices: Matrix | OfLayer,
    group_sizes: Int[Array, " E"],
    over_devices: Largest = lambda x: x,
) -> Float[Array, "M O"]:
    """Multiply each group of consecutive rows by its own matrix, of `matrices` [E, I, O]."""
    if isinstance(matrices, OfLayer):
        rows = rounded(rows, matrices.stack, over_devices)
        return jax.lax.platform_dependent(
            rows, matrices, group_sizes, tpu=_fetching_matmul, default=_matmul_of_taken
        )
    rows = rounded(rows, matrices, over_devices)
    return _matmul(rows, matrices, group_sizes)


def _fetching_matmul(
    rows: Float[Array, "M I"], matrices: OfLayer, group_sizes: Int[Array, " E"]
) -> Float[Array, "M O"]:
    if choose_tiles(rows, matrices.stack) is None:
        return _matmul_of_taken(rows, matrices, group_sizes)
    return grouped_product(rows, matrices.stack, matrices.layer, group_sizes)


def _matmul_of_taken(
    rows: Float[Array, "M I"], matrices: OfLayer, group_sizes: Int[Array, " E"]
) -> Float[Array, "M O"]:
    return _matmul(rows, matrices.taken(), group_sizes)


def _matmul(
    rows: Float[Array, "M I"], matrices: Matrix, group_sizes: Int[Array, " E"]
) -> Float[Array, "M O"]:
    return jax.lax.platform_dependent(
        rows, matrices, group_sizes, cpu=blocked_matmul, default=_ragged_matmul
    )


def _ragged_matmul(
    rows: Float[Array, "M I"], matrices: Matrix, group_sizes: Int[Array, " E"]
) -> Float[Array, "M O"]:
    return jax.lax.ragged_dot(rows, dense(matrices, rows.dtype), group_sizes)


def blocked_matmul(
    rows: Float[Array, "M I"], matrices: Matrix, group_sizes: Int[Array, " E"]
) -> Float[Array, "M O"]:
    """Go through the groups block by block; XLA's own product on CPU visits every expert.

    A block may reach over its group's end. What it writes there is garbage that the next group,
    which begins there, overwrites.
    """
    num_rows, block = rows.shape[0], min(BLOCK_ROWS, rows.shape[0])
    blocks_until = jnp.cumsum(-(-group_sizes // block))
    rows_until = jnp.cumsum(group_sizes)
    padded = jnp.pad(rows, ((0, block), (0, 0)))

    def step(index: Int[Array, ""], out: Array) -> Array:
        expert = jnp.sum(blocks_until <= index)
        first_block = blocks_until[expert] - -(-group_sizes[expert] // block)
        first_row = rows_until[expert] - group_sizes[expert] + (index - first_block) * block
        part = jax.lax.dynamic_slice_in_dim(padded, first_row, block)
        result = product(part, matrices[expert])
        return jax.lax.dynamic_update_slice_in_dim(out, result, first_row, axis=0)

    out = jnp.zeros((num_rows + block, matrices.shape[-1]), rows.dtype)
    return jax.lax.fori_loop(0, blocks_until[-1], step, out)[:num_rows]
