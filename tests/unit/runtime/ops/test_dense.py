"""Products with plain matrices equal numpy's, and on CPU take the form that is fast there."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from radixloom_runtime.ops.dense import scores, times


def drawn(*shape: int):
    return np.random.default_rng(5).normal(size=shape).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("num_rows", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_product_is_rounded_once_whatever_its_rows(num_rows, dtype):
    x, matrix = drawn(num_rows, 48), drawn(48, 24)
    y = times(jnp.asarray(x, dtype), jnp.asarray(matrix, dtype))
    assert y.dtype == dtype
    wanted = x.astype(np.float64) @ matrix.astype(np.float64)
    rounding = {"float32": 1e-6, "bfloat16": 2**-8}[dtype]
    np.testing.assert_allclose(np.asarray(y, np.float64), wanted, rtol=rounding, atol=1e-5)


@pytest.mark.parametrize("num_rows", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_are_of_float32(num_rows, dtype):
    x, table = drawn(num_rows, 48), drawn(40, 48)
    y = scores(jnp.asarray(x, dtype), jnp.asarray(table, dtype))
    assert y.dtype == jnp.float32
    wanted = x.astype(np.float64) @ table.astype(np.float64).T
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("product", [times, lambda x, m: scores(x, m.T)], ids=["times", "scores"])
def test_on_cpu_no_product_in_bfloat16_has_one_row_or_a_rounded_sum(product):
    shapes = jax.ShapeDtypeStruct((1, 48), "bfloat16"), jax.ShapeDtypeStruct((48, 24), "bfloat16")
    (line,) = [
        line for line in jax.jit(product).lower(*shapes).as_text().splitlines() if "dot_" in line
    ]
    assert "tensor<2x48xbf16>" in line
    assert "tensor<2x24xf32>" in line.split("->")[-1]


def test_for_a_tpu_a_product_stays_as_it_is():
    shapes = jax.ShapeDtypeStruct((1, 48), "bfloat16"), jax.ShapeDtypeStruct((48, 24), "bfloat16")
    lowered = jax.jit(times).trace(*shapes).lower(lowering_platforms=("tpu",)).as_text()
    (line,) = [line for line in lowered.splitlines() if "dot_" in line]
    assert "tensor<1x48xbf16>" in line
