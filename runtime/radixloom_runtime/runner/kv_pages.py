"""The paged KV cache: one array for all layers.

    pool [layers * (pages + 1), page_tokens, 2K, H]
           └ layer 0: pages 0 ... n-1, scratch ┘└ layer 1: ... ┘

A page id means the same place in every layer's stretch. The last page of a stretch is scratch:
padded tokens write there. One array, carried through the layers and donated to each step, is
updated in place on every backend (gated by a test on the compiled step's temporaries).
"""

import jax
import jax.numpy as jnp

from radixloom_runtime.models.config import ModelConfig


def pool_shape(config: ModelConfig, num_pages: int, page_tokens: int) -> tuple[int, int, int, int]:
    """Return the shape of the cache, scratch pages included."""
    stretches = config.num_layers * (num_pages + 1)
    return stretches, page_tokens, 2 * config.num_kv_heads, config.head_dim


def make_pool(config: ModelConfig, num_pages: int, page_tokens: int, dtype: jnp.dtype) -> jax.Array:
    """Allocate the cache; zeros, since a masked value must still be a finite number."""
    return jnp.zeros(pool_shape(config, num_pages, page_tokens), dtype)
