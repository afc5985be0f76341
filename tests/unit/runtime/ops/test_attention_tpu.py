"""The TPU's kernel, interpreted on the CPU, against the formula."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax._src.pallas.mosaic.interpret import interpret_pallas_call
from jax.experimental.pallas import tpu as pltpu
from support.attention_cases import (
    MIXED,
    Batch,
    Shape,
    batch_of,
    batches,
    check,
    forms,
    guessing_case,
    make_case,
    pages_dtypes,
    windows,
)

from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.ops.attention_tpu import TPUAttention

FLOAT32 = jnp.dtype("float32")
ROOT = Path(__file__).parents[4]

INTERPRETED = TPUAttention(interpret=True)
LIKE_A_TPU = TPUAttention(
    interpret=pltpu.InterpretParams(
        dma_execution_mode="on_wait", uninitialized_memory="nan", detect_races=True
    )
)
"""Copies land when they are waited for and not before; fresh memory is NaN."""

SHARED = Batch(((0, 50), (32, 1), (48, 20)), 0, (0, 0, 0))
"""The second and the third chunk read pages that the first fills in the same step."""


def check_mixed(shape: Shape, form: Form, kernel: TPUAttention = INTERPRETED, **options) -> None:
    check(kernel, make_case(batch_of(*MIXED), shape), shape, form, **options)


@pytest.mark.slow
def test_windows_sinks_and_soft_caps_equal_the_formula():
    form = Form(scale=0.125, soft_cap=4.0)
    check_mixed(Shape(9, 3, 64), form, window=100, with_sinks=True)


@pytest.mark.slow
def test_a_latent_is_key_and_value_of_all_heads():
    shape = Shape(4, 1, 40, value_dim=32)
    case = make_case(SHARED, shape)
    check(INTERPRETED, case, shape, Form(scale=0.2, value_dim=32))


@pytest.mark.slow
def test_guesses_of_one_request_all_reach_the_page_that_they_share():
    shape = Shape(4, 2, 64)
    check(INTERPRETED, guessing_case(range(126, 131), shape), shape, Form(scale=0.125))


def test_pages_that_are_not_whole_tiles_are_refused():
    shape = Shape(4, 2, 64, page_tokens=4)
    case = make_case(batch_of((0,), ()), shape)
    with pytest.raises(ValueError, match="--page-tokens to a multiple of 8"):
        check(INTERPRETED, case, shape, Form(scale=1.0))


@pytest.mark.parametrize(("heads", "page_lanes"), [(64, 128), (80, 256), (128, 256), (192, 384)])
def test_a_key_and_its_value_share_a_row_where_it_saves_a_tile(heads, page_lanes):
    assert TPUAttention().page_shape(3, heads, latent=False, dtype=FLOAT32) == (3 * page_lanes,)


def test_a_latent_takes_its_own_lanes_alone():
    assert TPUAttention().page_shape(1, 576, latent=True, dtype=FLOAT32) == (640,)


@pytest.mark.parametrize(
    ("kv_heads", "head_dim", "latent", "lanes"),
    [
        (8, 128, False, 8 * 256 + 128),
        (32, 128, False, 4 * (8 * 256 + 128)),
        (1, 128, False, 256 + 128),
        (3, 64, False, 3 * 128 + 128),
        (32, 80, False, 32 * 256),
        (1, 576, True, 640),
    ],
)
def test_scales_take_the_padding_or_one_tile_for_some_heads(kv_heads, head_dim, latent, lanes):
    page_shape = TPUAttention().page_shape
    assert page_shape(kv_heads, head_dim, latent=latent, dtype=jnp.dtype("int8")) == (lanes,)
    floats = page_shape(kv_heads, head_dim, latent=latent, dtype=jnp.dtype("float8_e4m3fn"))
    assert floats == page_shape(kv_heads, head_dim, latent=latent, dtype=FLOAT32)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("pages_dtype", ["bfloat16", "float8_e4m3fn", "int8"])
@pytest.mark.parametrize(
    "shape",
    [
        Shape(9, 3, 64, page_tokens=32),
        Shape(40, 20, 128, page_tokens=32),
        Shape(4, 2, 80, page_tokens=64),
        Shape(4, 1, 40, page_tokens=32, value_dim=32),
        Shape(4, 1, 192, page_tokens=32, value_dim=128),
    ],
    ids=["9/3 heads", "passes over the heads", "head 80", "latent", "latent by tiles"],
)
def test_pages_of_fewer_bits_are_read_as_what_they_know(shape, pages_dtype):
    form = Form(scale=shape.head_dim**-0.5, value_dim=shape.value_dim)
    check_mixed(shape, form, window=100, with_sinks=True, pages_dtype=pages_dtype)
    case = make_case(SHARED, shape)
    check(INTERPRETED, case, shape, form, pages_dtype=pages_dtype)


@pytest.mark.slow
def test_pages_outside_the_window_and_beyond_the_end_are_not_read():
    # Blocks of positions begin at multiples of 256; copies end with the last live page.
    check_mixed(Shape(4, 2, 64), Form(scale=0.125), window=20, reads=(256, 16))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("head_dim", [16, 64, 80, 96, 128, 160, 192, 256])
def test_all_head_dims_equal_the_formula(head_dim):
    check_mixed(Shape(9, 3, head_dim), Form(scale=head_dim**-0.5))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("shape", "form", "window", "sinks", "pages_dtype"),
    [
        (Shape(9, 3, 64), Form(scale=0.125), None, False, ""),
        (Shape(9, 3, 64, page_tokens=32), Form(scale=0.125), 70, True, "int8"),
        (Shape(4, 1, 40, value_dim=32), Form(scale=0.2, value_dim=32), None, False, ""),
        (Shape(4, 2, 128, page_tokens=64), Form(scale=0.1, soft_cap=4.0), 70, True, ""),
        (Shape(20, 10, 16), Form(scale=0.25), 300, False, ""),
    ],
    ids=["9/3 heads", "int8", "latent", "window, sinks and cap", "two passes over the heads"],
)
def test_no_copy_races_with_another_or_is_used_before_it_is_waited_for(
    shape, form, window, sinks, pages_dtype
):
    how = {"window": window, "with_sinks": sinks, "pages_dtype": pages_dtype}
    check_mixed(shape, form, LIKE_A_TPU, **how)
    check(LIKE_A_TPU, make_case(SHARED, shape), shape, form, **how)
    check(LIKE_A_TPU, guessing_case(range(125, 130), shape), shape, form, **how)
    assert interpret_pallas_call.races is not None
    assert not interpret_pallas_call.races.races_found


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_bfloat16_differs_from_the_formula_by_its_rounding():
    shape = Shape(6, 2, 128)
    case = make_case(batch_of(*MIXED), shape, dtype="bfloat16")
    check(INTERPRETED, case, shape, Form(scale=0.088), window=200, dtype="bfloat16", tolerance=2e-2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=batches(page_tokens=16, most_tokens=64), form=forms, window=windows, sinks=st.booleans()
)
def test_any_batch_equals_the_formula(batch, form, window, sinks):
    shape = Shape(6, 2, 64)
    case = make_case(batch, shape, num_tokens=64)
    check(INTERPRETED, case, shape, form, window=window, with_sinks=sinks)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    head_dim = draw(st.sampled_from([24, 40, 64, 80, 96, 128, 136, 192, 256]))
    if draw(st.integers(0, 3)) == 0:
        value_dim = draw(st.integers(1, head_dim // 8)) * 8
        return Shape(draw(st.integers(1, 20)), 1, head_dim, 16, value_dim)
    kv_heads, group = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    return Shape(kv_heads * group, kv_heads, head_dim, draw(st.sampled_from([8, 16, 32, 64])))


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    shape=shapes(),
    window=windows,
    sinks=st.booleans(),
    pages_dtype=pages_dtypes,
)
def test_any_shape_equals_the_formula(data, shape, window, sinks, pages_dtype):
    if shape.page_tokens % TPUAttention().page_multiple(jnp.dtype(pages_dtype)):
        pages_dtype = "float32"
    batch = data.draw(batches(page_tokens=shape.page_tokens, most_tokens=48))
    form = Form(scale=shape.head_dim**-0.5, soft_cap=5.0, value_dim=shape.value_dim)
    case = make_case(batch, shape, num_tokens=48)
    how = {"window": window, "with_sinks": sinks, "pages_dtype": pages_dtype}
    for kernel in (INTERPRETED, CPUAttention()):
        check(kernel, case, shape, form, **how)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_kernel_compiles_for_every_generation_and_copies_no_pages():
    command = [sys.executable, "-m", "hack.attention_matrix", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert {outcome["tpu"] for outcome in outcomes} == {"v4", "v5e", "v5p", "v6e", "v7x"}
    assert not [outcome for outcome in outcomes if outcome["problem"]]
