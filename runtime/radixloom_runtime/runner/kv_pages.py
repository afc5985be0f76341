"""The paged KV cache: one array for all layers that keep every token.

    pool [layers * (pages + 1), page_tokens, ...]      the rest: as attention holds a token
           └ layer 0: pages 0 ... n-1, scratch ┘└ layer 1: ... ┘

A page id means the same place in every layer's stretch. The last page of a stretch is scratch:
padded tokens write there. One array, carried through the layers and donated to each step, is
updated in place on every backend (gated by a test on the compiled step's temporaries).

Of each token a device holds what its own heads read; the array has all devices' parts end to end,
and all groups' pools one after another.
"""

import jax
from jax.sharding import Mesh

from radixloom_runtime.models.registry import Model
from radixloom_runtime.runner.mesh import pool_sharding


def pool_shape(model: Model, mesh: Mesh, num_pages: int, page_tokens: int) -> jax.ShapeDtypeStruct:
    """Return the shape of the cache, scratch pages included, and how it lies on the mesh.

    `num_pages` are those of a group.
    """
    stretches = model.config.num_paged_layers * (num_pages + 1)
    first, *rest = model.page_shape
    shape = (model.mesh_shape.data * stretches, page_tokens, first * model.kv_parts, *rest)
    return jax.ShapeDtypeStruct(shape, model.page_dtype, sharding=pool_sharding(mesh, model))
