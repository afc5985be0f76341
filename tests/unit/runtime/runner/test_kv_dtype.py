"""What a KV cache's numbers are, and which ones are refused before anything is loaded."""

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.ops.attention_tpu import TPUAttention
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.runner.kv_dtype import check_pages, check_scales, kv_dtype
from radixloom_runtime.settings import RuntimeSettings


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("auto", "bfloat16"),
        ("float32", "float32"),
        ("bfloat16", "bfloat16"),
        ("fp8", "float8_e4m3fn"),
        ("int8", "int8"),
    ],
)
def test_a_cache_is_as_the_model_computes_unless_something_else_is_asked(asked, found):
    settings = RuntimeSettings(kv_cache_dtype=asked)
    assert kv_dtype(settings, jnp.dtype("bfloat16")) == jnp.dtype(found)


def test_pages_that_are_not_whole_tiles_of_a_tpu_are_refused_before_loading():
    check_pages(TPUAttention(), 16, jnp.dtype("bfloat16"))
    check_pages(CPUAttention(), 5, jnp.dtype("int8"))
    with pytest.raises(
        ConfigurationError, match=r"page_tokens 16 is not a multiple of 32, .* int8"
    ):
        check_pages(TPUAttention(), 16, jnp.dtype("int8"))


def folder_with(path, **scales: float) -> Checkpoint:
    tensors = {
        f"model.layers.0.self_attn.{name}": np.array([value], np.float32)
        for name, value in scales.items()
    }
    save_file(tensors, path / "model.safetensors")
    return Checkpoint(path)


def test_fp8_is_refused_where_the_checkpoint_says_that_its_range_is_too_small(tmp_path):
    checkpoint = folder_with(tmp_path, k_scale=0.02, v_scale=1.5)
    with pytest.raises(ConfigurationError, match=r"self_attn\.v_scale of the checkpoint is 1\.5"):
        check_scales(RuntimeSettings(kv_cache_dtype="fp8"), checkpoint)
    check_scales(RuntimeSettings(kv_cache_dtype="int8"), checkpoint)


def test_fp8_with_a_scale_of_one_serves_checkpoints_that_would_want_less(tmp_path):
    checkpoint = folder_with(tmp_path, k_scale=0.02, v_scale=1.0)
    check_scales(RuntimeSettings(kv_cache_dtype="fp8"), checkpoint)
