"""The TPU's grouped product, interpreted, against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.ops.quantized import Matrix, QuantizedMatrix, dense, pack_pairs
from radixloom_runtime.ops.tpu.grouped import choose_tiles, grouped_product, plan_visits

NUM_LAYERS, GROUP = 2, 32


def matrices_of(kind: str, generator: np.random.Generator, num: int, ins: int, outs: int) -> Matrix:
    shape = (NUM_LAYERS, num, ins, outs)

    def scales(groups: int) -> np.ndarray:
        return generator.uniform(0.01, 0.1, (NUM_LAYERS, num, groups, outs)).astype(np.float32)

    if kind == "plain":
        return jnp.asarray(generator.normal(size=shape).astype(np.float32))
    if kind == "int8":
        values = generator.integers(-127, 127, shape).astype(np.int8)
        return QuantizedMatrix(jnp.asarray(values), jnp.asarray(scales(1)))
    packed = pack_pairs(generator.integers(-8, 8, shape))
    if kind == "e2m1":
        powers = generator.integers(121, 127, (NUM_LAYERS, num, ins // GROUP, outs))
        parts = jnp.asarray(packed), jnp.asarray(powers.astype(np.uint8))
        return QuantizedMatrix(*parts, is_packed=True, is_float=True)
    each, offsets = jnp.asarray(scales(ins // GROUP)), jnp.asarray(scales(ins // GROUP))
    return QuantizedMatrix(jnp.asarray(packed), each, offsets, is_packed=True)


def check(kind: str, sizes: list[int], ins: int, outs: int, rows_of_none: int = 3) -> None:
    generator = np.random.default_rng(sum(sizes) + ins)
    rows = generator.normal(size=(sum(sizes) + rows_of_none, ins)).astype(np.float32)
    matrices = matrices_of(kind, generator, len(sizes), ins, outs)
    given_sizes, layer = jnp.asarray(sizes, jnp.int32), jnp.int32(1)
    found = grouped_product(jnp.asarray(rows), matrices, layer, given_sizes, interpret=True)
    owned = np.repeat(np.arange(len(sizes)), sizes)
    whole = np.asarray(dense(matrices, jnp.dtype("float32"))[1], np.float64)[owned]
    expected = np.einsum("mi,mio->mo", rows[: len(owned)], whole)
    magnitudes = np.einsum("mi,mio->mo", np.abs(rows[: len(owned)]), np.abs(whole))
    assert np.all(np.abs(found[: len(owned)] - expected) <= 1e-6 * magnitudes)  # float32 sums


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "int8", "int4", "e2m1"])
def test_rows_are_multiplied_by_their_experts_whatever_these_are_kept_as(kind: str):
    check(kind, [3, 0, 9, 5], ins=64, outs=48)


def test_matrices_that_lie_turned_in_memory_give_the_same():
    check("plain", [3, 0, 9, 5], ins=128, outs=48)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["plain", "int8", "int4", "e2m1"])
@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=6),
    outs=st.sampled_from([48, 640, 700]),
    ins=st.sampled_from([64, 160]),
)
@settings(max_examples=12, deadline=None)
def test_any_sizes_of_groups_and_matrices_give_the_plain_formula(
    kind: str, sizes: list[int], outs: int, ins: int
):
    check(kind, sizes, ins, outs)


@given(sizes=st.lists(st.integers(0, 40), min_size=5, max_size=5), tile=st.sampled_from([8, 16]))
@settings(max_examples=30, deadline=None)
def test_each_tile_visits_the_experts_of_its_rows_and_no_others(sizes: list[int], tile: int):
    plan = jax.jit(plan_visits, static_argnums=(2, 3))
    visits, number = plan(jnp.asarray(sizes), jnp.int32(0), tile, 208)
    pairs = list(zip(visits.tile.tolist(), visits.expert.tolist(), strict=True))[: int(number)]
    owned = np.repeat(np.arange(len(sizes)), sizes)
    expected = sorted({(row // tile, int(expert)) for row, expert in enumerate(owned)})
    assert not expected or pairs == expected


def test_what_does_not_fit_the_fast_memory_is_left_to_others():
    rows = jnp.zeros((8, 1 << 16), jnp.float32)
    assert choose_tiles(rows, jnp.zeros((1, 1, 1 << 16, 128), jnp.float32)) is None


def test_quantized_matrices_that_lie_turned_are_left_to_others():
    rows, values = jnp.zeros((8, 128), jnp.float32), jnp.zeros((1, 2, 128, 48), jnp.int8)
    scales = jnp.ones((1, 2, 1, 48), jnp.float32)
    assert choose_tiles(rows, QuantizedMatrix(values, scales)) is None
    assert choose_tiles(rows, values.astype(jnp.float32)) is not None
