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
from radixloom_runtime.models.params import ParamSpec, Stored, weight
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
        self.keys = Linear(
            (f"{prefix}.kv_a_proj_with_mqa",),
            c.embed_dim,
            (latent.latent_dim, latent.rope_dim),
            ("embed", "latent"),
            bias=c.qkv_bias,
            dtype=dtype,
        )
        norm = f"{prefix}.kv_a_layernorm"
        self.norm = RMSNorm(norm, latent.latent_dim, config, dtype, eps=_NORM_EPS)
        heads = (c.num_heads, latent.nope_dim + latent.value_dim, latent.latent_dim)

        def part(axes: tuple[str, str, str], shape: tuple[int, ...], keeps: slice) -> Any:
            name, stored = f"{prefix}.kv_b_proj.weight", (heads[0] * heads[1], heads[2])
            transform = partial(_of_each_head, head_dim=heads[1], keeps=keeps)
            return weight(ParamSpec(shape, axes, (name,), (stored,), transform), dtype)

        key_shape = (c.num_heads, latent.nope_dim, latent.latent_dim)
        value_shape = (c.num_heads, latent.value_dim, latent.latent_dim)
        axes = ("heads", "head_dim", "latent")
        self.key_up = part(axes, key_shape, slice(None, latent.nope_dim))
        self.value_up = part(axes, value_shape, slice(latent.nope_dim, None))
        self.gates = _gates(prefix, config, latent, dtype)
        self.out = Linear(
            (f"{prefix}.{c.names.attention_out}",),
            c.num_heads * latent.value_dim,
            (c.embed_dim,),
            ("heads", "embed"),
            bias=c.out_bias,
            dtype=dtype,
        )

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
        dims, inner = (config.num_heads * width,), latent.query_dim
        if inner is None:
            self.down = self.norm = None
            self.up = Linear(
                (f"{prefix}.q_proj",),
                config.embed_dim,
                dims,
                ("embed", "heads"),
                bias=False,
                dtype=dtype,
            )
            return
        self.down = Linear(
            (f"{prefix}.q_a_proj",),
            config.embed_dim,
            (inner,),
            ("embed", "latent"),
            bias=config.qkv_bias,
            dtype=dtype,
        )
        self.norm = RMSNorm(f"{prefix}.q_a_layernorm", inner, config, dtype, eps=_NORM_EPS)
        self.up = Linear(
            (f"{prefix}.q_b_proj",), inner, dims, ("latent", "heads"), bias=False, dtype=dtype
        )

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T N H"]:
        """Compute them."""
        if self.down is not None and self.norm is not None:
            x = self.norm(self.down(x))
        return self.up(x).reshape(x.shape[0], -1, self.head_dim)


def _gates(prefix: str, config: ModelConfig, latent: Latent, dtype: jnp.dtype) -> Linear | None:
    if latent.gate is None:
        return None
    name, dims = f"{prefix}.{latent.gate}", (config.num_heads,)
    return Linear((name,), config.embed_dim, dims, ("embed", "heads"), bias=False, dtype=dtype)


def _of_each_head(stored: Stored, *, head_dim: int, keeps: slice) -> NDArray[Any]:
    """Cut what belongs to keys, or to values, out of each head's rows: [N*(Hk+Hv), C]."""
    (tensor,) = stored
    heads = np.asarray(tensor).reshape(-1, head_dim, tensor.shape[-1])
    return heads[:, keeps]
