"""Both ways of looking up give the same rows, bit by bit."""

import jax.numpy as jnp
import numpy as np

from radixloom_runtime.ops.table import multiplied_out, rows_of


def test_a_product_with_ones_and_zeros_gives_the_rows_themselves():
    for dtype in (jnp.bfloat16, jnp.float32):
        table = jnp.asarray(np.random.default_rng(1).normal(size=(50, 24)), dtype)
        rows = jnp.asarray([0, 49, 7, 7])
        expected = np.asarray(table, np.float32)[[0, 49, 7, 7]]
        assert np.asarray(multiplied_out(table, rows), np.float32).tolist() == expected.tolist()
        assert np.asarray(rows_of(table, rows), np.float32).tolist() == expected.tolist()
