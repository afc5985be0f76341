"""Products with plain matrices, in the form that is fast where they run.

A TPU or a GPU takes any product as it is. XLA's CPU multiplies bfloat16 with the processor's own
instructions only from two rows on, and only into float32; else it first makes float32 of the whole
matrix, at many times the cost. There, a single row gets a second one, of zeros.

Either way sums are of float32, and rounded once.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_ROWS_BY_MATRIX = (((1,), (0,)), ((), ()))
_ROWS_BY_ROWS = (((1,), (1,)), ((), ()))
_LEAST_ROWS = 2


def times(x: Float[Array, "T I"], matrix: Float[Array, "I O"]) -> Float[Array, "T O"]:
    """Compute x @ matrix in the dtype of `x`."""
    if not _are_bfloat16(x, matrix):
        return x @ matrix

    def on_cpu(x: Array, matrix: Array) -> Array:
        return _of_enough_rows(x, matrix, _ROWS_BY_MATRIX).astype(x.dtype)

    return jax.lax.platform_dependent(x, matrix, cpu=on_cpu, default=jnp.matmul)


def scores(x: Float[Array, "T D"], table: Float[Array, "V D"]) -> Float[Array, "T V"]:
    """Compute x @ table.T in float32."""

    def on_cpu(x: Array, table: Array) -> Array:
        return _of_enough_rows(x, table, _ROWS_BY_ROWS)

    def as_it_is(x: Array, table: Array) -> Array:
        return _into_float32(x, table, _ROWS_BY_ROWS)

    if not _are_bfloat16(x, table):
        return as_it_is(x, table)
    return jax.lax.platform_dependent(x, table, cpu=on_cpu, default=as_it_is)


def _are_bfloat16(x: Array, matrix: Array) -> bool:
    return x.dtype == matrix.dtype == jnp.bfloat16


def _of_enough_rows(x: Array, matrix: Array, dimensions: jax.lax.DotDimensionNumbers) -> Array:
    num_rows = x.shape[0]
    padded = jnp.pad(x, ((0, max(0, _LEAST_ROWS - num_rows)), (0, 0)))
    return _into_float32(padded, matrix, dimensions)[:num_rows]


def _into_float32(x: Array, matrix: Array, dimensions: jax.lax.DotDimensionNumbers) -> Array:
    return jax.lax.dot_general(x, matrix, dimensions, preferred_element_type=jnp.float32)
