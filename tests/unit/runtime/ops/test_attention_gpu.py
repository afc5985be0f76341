"""The GPU's kernel, interpreted on the CPU, against the formula; and lowered without a GPU."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from support.golden_jobs import assert_gives_goldens
from support.goldens import folder
from support.tiny_models import TIED, runner_of

from hack.attention_matrix import FULL, QUICK, Variant, two_layers
from radixloom_runtime.models.registry import make_model, read_config
from radixloom_runtime.ops import attention_gpu
from radixloom_runtime.ops.attention import Form
from radixloom_runtime.ops.attention_choice import attention_for
from radixloom_runtime.ops.attention_gpu import GPUAttention

INTERPRETED = GPUAttention(interpret=True)

SHARED = Batch(((0, 50), (32, 1), (48, 20)), 0, (0, 0, 0))
"""The second and the third chunk read pages that the first fills in the same step."""


def check_mixed(shape: Shape, form: Form, **options) -> None:
    check(INTERPRETED, make_case(batch_of(*MIXED), shape), shape, form, **options)


def lowered(variant: Variant) -> str:
    layers, operands = two_layers(variant, GPUAttention())
    traced = jax.jit(layers, donate_argnums=3).trace(*operands)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.slow
def test_guesses_of_one_request_see_each_other():
    shape = Shape(4, 2, 64)
    check(INTERPRETED, guessing_case(range(126, 131), shape), shape, Form(scale=0.125))


@pytest.mark.slow
def test_windows_sinks_and_soft_caps_equal_the_formula():
    form = Form(scale=0.125, soft_cap=4.0)
    check_mixed(Shape(9, 3, 64), form, window=100, with_sinks=True)


def test_a_kernel_for_gpus_is_chosen_on_gpus_and_lowers_without_one():
    assert isinstance(attention_for("gpu"), GPUAttention)
    # One kernel for decodes and one for prompts, in the body of the scan over layers.
    assert lowered(QUICK[0]).count("__gpu$xla.gpu.triton") == 2


def test_a_pool_that_would_be_addressed_wrongly_is_refused():
    pages = [
        jax.ShapeDtypeStruct((num_pages, 16, 16, 128), dtype)
        for num_pages, dtype in ((1 << 16, "float8_e4m3fn"), (1 << 17, "float8_e4m3fn"))
    ]
    attention_gpu._check_size(pages[0])
    with pytest.raises(ValueError, match=r"4\.00 GiB in float8_e4m3fn cannot be addressed"):
        attention_gpu._check_size(pages[1])
    attention_gpu._check_size(jax.ShapeDtypeStruct((1 << 17, 16, 17, 128), "int8"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", FULL, ids=[variant.name for variant in FULL])
def test_every_variant_lowers_for_a_gpu(variant):
    assert lowered(variant).count("__gpu$xla.gpu.triton") == 2


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("head_dim", [16, 64, 80, 96, 128, 160, 192, 256])
def test_all_head_dims_equal_the_formula(head_dim):
    check_mixed(Shape(9, 3, head_dim), Form(scale=head_dim**-0.5))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("pages_dtype", ["float32", "bfloat16", "float8_e4m3fn", "int8"])
@pytest.mark.parametrize(
    "shape",
    [
        Shape(9, 3, 64),
        Shape(4, 2, 96, page_tokens=8),
        Shape(80, 2, 16),
        Shape(4, 1, 40, value_dim=32),
        Shape(20, 1, 192, value_dim=128),
    ],
    ids=["9/3 heads", "head 96", "more heads than a block", "latent", "latent, 20 heads"],
)
def test_pages_of_every_dtype_are_read_as_what_they_know(shape, pages_dtype):
    form = Form(scale=shape.head_dim**-0.5, value_dim=shape.value_dim)
    check_mixed(shape, form, window=100, with_sinks=True, pages_dtype=pages_dtype)
    case = make_case(SHARED, shape)
    check(INTERPRETED, case, shape, form, pages_dtype=pages_dtype)


@pytest.mark.slow
def test_blocks_outside_the_window_and_beyond_the_end_are_not_read():
    check_mixed(Shape(4, 2, 64), Form(scale=0.125), window=20, reads=(64, 16))


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=batches(page_tokens=16, most_tokens=64),
    form=forms,
    window=windows,
    sinks=st.booleans(),
    pages_dtype=pages_dtypes,
)
def test_any_batch_equals_the_formula(batch, form, window, sinks, pages_dtype):
    shape = Shape(6, 2, 64)
    case = make_case(batch, shape, num_tokens=64)
    how = {"window": window, "with_sinks": sinks, "pages_dtype": pages_dtype}
    check(INTERPRETED, case, shape, form, **how)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_gives_the_goldens_tokens_through_it():
    jax.config.update("jax_default_matmul_precision", "highest")
    model = make_model(
        read_config(folder(TIED)),
        dtype=jnp.dtype("float32"),
        attention=INTERPRETED,
        stacked=True,
    )
    assert_gives_goldens(runner_of(model, folder(TIED)), TIED)
