"""The paged KV cache: one array for all layers that keep every token.

    pool [layers * (pages + 1), page_tokens, ...]      the rest: as attention holds a token
           └ layer 0: pages 0 ... n-1, scratch ┘└ layer 1: ... ┘

A page id means the same place in every layer's stretch. The last page of a stretch is scratch:
padded tokens write there. One array, carried through the layers and donated to each step, is
updated in place on every backend (gated by a test on the compiled step's temporaries).
"""

import jax
import jax.numpy as jnp

from radixloom_runtime.models.registry import Model


def pool_shape(model: Model, num_pages: int, page_tokens: int) -> tuple[int, ...]:
    """Return the shape of the cache, scratch pages included."""
    stretches = model.config.num_paged_layers * (num_pages + 1)
    return stretches, page_tokens, *model.page_shape


def make_pool(model: Model, num_pages: int, page_tokens: int) -> jax.Array:
    """Allocate the cache; zeros, since a masked value must still be a finite number."""
    return jnp.zeros(pool_shape(model, num_pages, page_tokens), model.dtype)
