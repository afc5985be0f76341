"""Grouped-query attention: keys and values of a few heads, each read by several query heads."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.blocks import Linear, RMSNorm
from radixloom_runtime.models.config import ModelConfig, QKNorm
from radixloom_runtime.models.history import History, place_among
from radixloom_runtime.models.params import vector
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import StepInput
from radixloom_runtime.ops import rope
from radixloom_runtime.ops.attention import Attention, Form

_NO_WINDOW = 1 << 30


class SelfAttention(nnx.Module):
    """Over the paged cache."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, attention: Attention) -> None:
        c, names = config, config.names
        prefix = f"{names.layer}.{names.attention}"
        embed = Axis("embed", c.embed_dim)
        query = Axis("heads", c.num_heads, c.head_dim)
        kv = Axis("kv_heads", c.num_kv_heads, c.head_dim)
        gated = Axis("heads", c.num_heads, 2 * c.head_dim) if c.gates_attention else query
        self.config = config
        self.attention = attention
        scale = c.head_dim**-0.5 if c.attention_scale is None else c.attention_scale
        self.form = Form(scale=scale, soft_cap=c.attention_soft_cap)
        self.qkv = Linear(
            tuple(f"{prefix}.{name}" for name in names.qkv),
            embed,
            (gated, kv, kv),
            bias=c.qkv_bias,
            dtype=dtype,
        )
        out = f"{prefix}.{names.attention_out}"
        self.out = Linear((out,), query, (embed,), bias=c.out_bias, dtype=dtype)

        def norm(name: str, whole: Axis) -> RMSNorm | None:
            if c.qk_norm is QKNorm.NONE:
                return None
            axis = Axis("head_dim", c.head_dim) if c.qk_norm is QKNorm.HEAD else whole
            return RMSNorm(f"{prefix}.{name}", axis, config, dtype)

        heads = Axis("heads", c.num_heads)
        sinks = vector(f"{prefix}.sinks", heads, dtype, is_exact=True) if c.has_sinks else None
        self.sinks = sinks
        self.query_norm = norm(names.qk_norms[0], query)
        self.key_norm = norm(names.qk_norms[1], kv)

    @override
    def __call__(
        self,
        x: Float[Array, "T D"],
        history: History,
        step: StepInput,
        index: Int[Array, ""],
    ) -> tuple[Float[Array, "T D"], History]:
        """Write this step's keys and values, and attend over everything before."""
        c = self.config
        apart = self.qkv.split(x, step.adapters)
        queries, keys, values = (part.reshape(x.shape[0], -1, c.head_dim) for part in apart)
        gates = None
        if c.gates_attention:
            queries, gates = queries[:, 0::2], queries[:, 1::2]
        queries, keys = _norm(queries, self.query_norm, c), _norm(keys, self.key_norm, c)
        kind = of_layer(c.rope_of_layer, index)
        turn = (step.cos[kind], step.sin[kind])
        queries = rope.rotate(queries, *turn, interleaved=c.rope_interleaved)
        keys = rope.rotate(keys, *turn, interleaved=c.rope_interleaved)
        attended, pages = self.attention(
            queries,
            keys,
            values,
            history.pages,
            step.batch,
            page_offset(c, history, index),
            self.form,
            window=_window(c, index),
            sinks=None if self.sinks is None else self.sinks[...],
        )
        if gates is not None:
            attended *= jax.nn.sigmoid(gates)
        out = self.out(attended.reshape(x.shape[0], -1), step.adapters)
        return out, history._replace(pages=pages)


def page_offset(config: ModelConfig, history: History, index: Int[Array, ""]) -> Int[Array, ""]:
    """Return where a layer's stretch of the pages begins."""
    stretch = history.pages.shape[0] // config.num_paged_layers
    return place_among(config.paged_layers, index) * stretch


def of_layer(values: tuple[int, ...], index: Int[Array, ""]) -> Int[Array, ""] | int:
    """Look up a layer's own number; a constant if all layers have the same."""
    return values[0] if len(set(values)) == 1 else jnp.asarray(values)[index]


def _norm(heads: Array, norm: RMSNorm | None, config: ModelConfig) -> Array:
    if norm is None:
        return heads
    if config.qk_norm is QKNorm.HEAD:
        return norm(heads)
    return norm(heads.reshape(heads.shape[0], -1)).reshape(heads.shape)


def _window(config: ModelConfig, index: Int[Array, ""]) -> Int[Array, ""] | int | None:
    if not any(config.windows):
        return None
    return of_layer(tuple(window or _NO_WINDOW for window in config.windows), index)
