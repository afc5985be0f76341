"""Which numbers the KV pages hold, and what is refused before anything is loaded.

fp8 has a scale of 1. Checkpoints made for fp8 caches may bring scales of their own (`k_scale`,
`v_scale`: number * scale is the value). One of them above 1 says that keys or values beyond the
448 of e4m3 were seen; those would be cut, so such a checkpoint is refused. Scales up to 1 are not
needed: a float of eight bits is as exact at a hundredth of its range.
"""

import re

import jax.numpy as jnp
import numpy as np

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.ops.attention import Attention
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.settings import KVCacheDtype, RuntimeSettings

_DTYPES = {
    KVCacheDtype.FLOAT32: "float32",
    KVCacheDtype.BFLOAT16: "bfloat16",
    KVCacheDtype.FP8: "float8_e4m3fn",
    KVCacheDtype.INT8: "int8",
}
_SCALE = re.compile(r"\.(k|v|kv)_scale$")


def kv_dtype(settings: RuntimeSettings, dtype: jnp.dtype) -> jnp.dtype:
    """Return the dtype of the pages of a model that computes in `dtype`."""
    return jnp.dtype(_DTYPES.get(settings.kv_cache_dtype, dtype))


def page_tokens(settings: RuntimeSettings, platform: str) -> int:
    """Return how many tokens a page holds."""
    return settings.page_tokens or (64 if platform == "tpu" else 16)


def check_pages(attention: Attention, num_tokens: int, dtype: jnp.dtype) -> None:
    """Refuse pages that the kernel cannot read. Raises: `ConfigurationError`."""
    multiple = attention.page_multiple(dtype)
    if num_tokens % multiple:
        raise ConfigurationError(
            f"page_tokens {num_tokens} is not a multiple of {multiple}, which pages of"
            f" {jnp.dtype(dtype).name} are here; set page_tokens to one, or another kv_cache_dtype"
        )


def check_scales(settings: RuntimeSettings, checkpoint: Checkpoint) -> None:
    """Refuse an fp8 cache for keys or values beyond its range. Raises: `ConfigurationError`."""
    if settings.kv_cache_dtype is not KVCacheDtype.FP8:
        return
    for name in checkpoint.names:
        if not _SCALE.search(name):
            continue
        largest = float(np.max(checkpoint.tensor(name, (), (1,)).astype(np.float32)))
        if largest > 1:
            raise ConfigurationError(
                f"kv_cache_dtype fp8 keeps keys and values with a scale of 1, up to 448, but"
                f" {name} of the checkpoint is {largest:g}: they were seen to be larger; set"
                " kv_cache_dtype to int8 or bfloat16"
            )
