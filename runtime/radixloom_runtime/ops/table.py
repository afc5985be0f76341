"""Rows of a table, looked up by number."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from radixloom_runtime.ops.tpu.geometry import LANES


def rows_of(table: Float[Array, "V D"], rows: Int[Array, " T"]) -> Float[Array, "T D"]:
    """Look up rows, all of which exist; on TPUs without laying the table anew.

    Rows that are no whole tiles of lanes lie one beside the other there, which XLA's lookup would
    turn, the whole table in every step. A product with ones and zeros reads it where it lies, and
    is exact: each number is multiplied by one.
    """
    if table.shape[1] % LANES == 0:
        return _looked_up(table, rows)
    return jax.lax.platform_dependent(table, rows, tpu=multiplied_out, default=_looked_up)


def multiplied_out(table: Float[Array, "V D"], rows: Int[Array, " T"]) -> Float[Array, "T D"]:
    """Multiply by a row of one 1 and zeros for each row that is wanted."""
    chosen = jax.nn.one_hot(rows, len(table), dtype=table.dtype)
    return jnp.matmul(chosen, table, precision=jax.lax.Precision.HIGHEST)


def _looked_up(table: Float[Array, "V D"], rows: Int[Array, " T"]) -> Float[Array, "T D"]:
    return table.at[rows].get(mode="clip")
