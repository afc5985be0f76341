"""Multi-head latent attention (MLA): what is kept of a token is one vector for all heads.

    x ─► latent c, and a key r that turns           kept: [ c | r ]
    a head's key is [ U c | r ], its value V c      U, V: its own matrices

Keys and values of the heads are never made. A query's part q meets U c as (U' q) . c, so U goes to
the query's side; and what a head reads is a mean of values, V of the mean of latents:

    [ U' q | q_r ] . [ c | r ]  ─► weights ─► mean of c ─► V

So all heads read one history of `latent_dim + rope_dim` numbers a token.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.models.attention import of_layer, page_offset
from radixloom_runtime.models.blocks import Linear, RMSNorm
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_latent import Latent
from radixloom_runtime.models.history import History
from radixloom_runtime.models.params import ParamSpec, Stored, Tensors, weight
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import StepInput, with_weight
from radixloom_runtime.ops import rope
from radixloom_runtime.ops.attention import Attention, Form

_NORM_EPS = 1e-6
"""Of the norms inside attention, whatever config.json says of the others."""


class LatentAttention(nnx.Module):
    """Over a paged cache of latents."""

    def __init__(
        self, config: ModelConfig, latent: Latent, dtype: jnp.dtype, attention: Attention
    ) -> None:
        c = config
        prefix = f"{c.names.layer}.{c.names.attention}"
        scale = c.head_dim**-0.5 if c.attention_scale is None else c.attention_scale
        self.config = config
        self.latent = latent
        self.attention = attention
        self.form = Form(scale=scale, soft_cap=c.attention_soft_cap, value_dim=latent.latent_dim)
        self.queries = Queries(prefix, config, latent, dtype)
        embed, kept = Axis("embed", c.embed_dim), Axis("latent", latent.latent_dim)
        self.keys = Linear(
            (f"{prefix}.kv_a_proj_with_mqa",),
            embed,
            (kept, Axis("latent", latent.rope_dim)),
            bias=c.qkv_bias,
            dtype=dtype,
        )
        self.norm = RMSNorm(f"{prefix}.kv_a_layernorm", kept, config, dtype, eps=_NORM_EPS)
        both = latent.nope_dim + latent.value_dim
        rows = Axis("heads", c.num_heads, both)
        stored = Stored(f"{prefix}.kv_b_proj.weight", ((rows,), (kept,)))

        def part(width: int, keeps: slice) -> Any:
            dims = ((Axis("heads", c.num_heads),), (Axis("head_dim", width),), (kept,))
            transform = partial(_of_each_head, head_dim=both, keeps=keeps)
            return weight(ParamSpec(dims, (stored,), transform), dtype)

        self.key_up = part(latent.nope_dim, slice(None, latent.nope_dim))
        self.value_up = part(latent.value_dim, slice(latent.nope_dim, None))
        self.gates = _gates(prefix, config, latent, dtype)
        out, values = (
            f"{prefix}.{c.names.attention_out}",
            Axis("heads", c.num_heads, latent.value_dim),
        )
        self.out = Linear((out,), values, (embed,), bias=c.out_bias, dtype=dtype)

    @override
    def __call__(
        self,
        x: Float[Array, "T D"],
        history: History,
        step: StepInput,
        index: Int[Array, ""],
    ) -> tuple[Float[Array, "T D"], History]:
        """Write this step's latents, and attend over everything before."""
        c, latent = self.config, self.latent
        kind = of_layer(c.rope_of_layer, index)
        turn = partial(
            rope.rotate, cos=step.cos[kind], sin=step.sin[kind], interleaved=c.rope_interleaved
        )
        plain, turning = jnp.split(self.queries(x), (latent.nope_dim,), axis=-1)
        absorbed = with_weight(
            self.key_up.get_value(), lambda up: jnp.einsum("tnh,nhc->tnc", plain, up)
        )
        queries = jnp.concatenate([absorbed, turn(turning)], axis=-1)
        kept, shared_key = jnp.split(self.keys(x), (latent.latent_dim,), axis=-1)
        keys = jnp.concatenate([self.norm(kept)[:, None], turn(shared_key[:, None])], axis=-1)
        attended, pages = self.attention(
            queries,
            keys,
            None,
            history.pages,
            step.batch,
            page_offset(c, history, index),
            self.form,
        )
        values = with_weight(
            self.value_up.get_value(), lambda up: jnp.einsum("tnc,nhc->tnh", attended, up)
        )
        if self.gates is not None:
            values *= jax.nn.sigmoid(self.gates(x))[..., None]
        return self.out(values.reshape(x.shape[0], -1)), history._replace(pages=pages)


class Queries(nnx.Module):
    """Queries of all heads, by way of a narrow vector or straight."""

    def __init__(self, prefix: str, config: ModelConfig, latent: Latent, dtype: jnp.dtype) -> None:
        width = latent.nope_dim + latent.rope_dim
        self.head_dim = width
        embed, heads = Axis("embed", config.embed_dim), Axis("heads", config.num_heads, width)
        if latent.query_dim is None:
            self.down = self.norm = None
            self.up = Linear((f"{prefix}.q_proj",), embed, (heads,), bias=False, dtype=dtype)
            return
        inner = Axis("latent", latent.query_dim)
        down, bias = (f"{prefix}.q_a_proj",), config.qkv_bias
        self.down = Linear(down, embed, (inner,), bias=bias, dtype=dtype)
        self.norm = RMSNorm(f"{prefix}.q_a_layernorm", inner, config, dtype, eps=_NORM_EPS)
        self.up = Linear((f"{prefix}.q_b_proj",), inner, (heads,), bias=False, dtype=dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T N H"]:
        """Compute them."""
        if self.down is not None and self.norm is not None:
            x = self.norm(self.down(x))
        return self.up(x).reshape(x.shape[0], -1, self.head_dim)


def _gates(prefix: str, config: ModelConfig, latent: Latent, dtype: jnp.dtype) -> Linear | None:
    if latent.gate is None:
        return None
    name, heads = f"{prefix}.{latent.gate}", Axis("heads", config.num_heads)
    return Linear((name,), Axis("embed", config.embed_dim), (heads,), bias=False, dtype=dtype)


def _of_each_head(stored: Tensors, *, head_dim: int, keeps: slice) -> NDArray[Any]:
    """Cut what belongs to keys, or to values, out of each head's rows: [N*(Hk+Hv), C]."""
    (tensor,) = stored
    heads = np.asarray(tensor).reshape(-1, head_dim, tensor.shape[-1])
    return heads[:, keeps]
