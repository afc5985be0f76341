"""The network that most families share; what differs is in `ModelConfig`.

    x + out_norm(attention(in_norm(x))), then x + out_norm(mlp(in_norm(x)))

Any of the four norms may be missing. Rotary positions; grouped key-value heads.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.blocks import Embedding, GatedMLP, Linear, RMSNorm
from radixloom_runtime.models.config import ModelConfig, QKNorm
from radixloom_runtime.models.config_rope import Rope
from radixloom_runtime.models.history import History, place_among
from radixloom_runtime.models.moe import MoeMLP
from radixloom_runtime.models.stack import LayerKind, Stack, StepInput
from radixloom_runtime.ops import rope
from radixloom_runtime.ops.attention import Attention, Form, Ragged

_LAYER = "model.layers.{layer}"
_NO_WINDOW = 1 << 30


class SelfAttention(nnx.Module):
    """Grouped-query attention over the paged cache."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, attention: Attention) -> None:
        prefix = f"{_LAYER}.self_attn"
        c, bias = config, config.qkv_bias
        query_dim, kv_dim = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
        names = tuple(f"{prefix}.{name}_proj" for name in "qkv")
        dims = (query_dim, kv_dim, kv_dim)
        if c.fused_qkv:
            names, dims = (f"{prefix}.qkv_proj",), (sum(dims),)
        self.config = config
        self.attention = attention
        scale = c.head_dim**-0.5 if c.attention_scale is None else c.attention_scale
        self.form = Form(scale=scale, soft_cap=c.attention_soft_cap)
        self.qkv = Linear(names, c.embed_dim, dims, ("embed", "heads"), bias=bias, dtype=dtype)
        self.out = Linear(
            (f"{prefix}.o_proj",),
            query_dim,
            (c.embed_dim,),
            ("heads", "embed"),
            bias=c.out_bias,
            dtype=dtype,
        )

        def norm(name: str, whole: int) -> RMSNorm | None:
            if c.qk_norm is QKNorm.NONE:
                return None
            width = c.head_dim if c.qk_norm is QKNorm.HEAD else whole
            return RMSNorm(f"{prefix}.{name}.weight", width, config, dtype)

        self.query_norm = norm("q_norm", query_dim)
        self.key_norm = norm("k_norm", kv_dim)

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
        heads = self.qkv(x).reshape(x.shape[0], -1, c.head_dim)
        queries, keys, values = jnp.split(heads, (c.num_heads, c.num_heads + c.num_kv_heads), 1)
        queries, keys = _norm(queries, self.query_norm, c), _norm(keys, self.key_norm, c)
        kind = _of_layer(c.rope_of_layer, index)
        turn = (step.cos[kind], step.sin[kind])
        queries = rope.rotate(queries, *turn, interleaved=c.rope_interleaved)
        keys = rope.rotate(keys, *turn, interleaved=c.rope_interleaved)
        attended, pages = self.attention(
            queries,
            keys,
            values,
            history.pages,
            step.batch,
            place_among(c.paged_layers, index) * (history.pages.shape[0] // c.num_paged_layers),
            self.form,
            window=_window(c, index),
        )
        return self.out(attended.reshape(x.shape[0], -1)), history._replace(pages=pages)


class Layer(nnx.Module):
    """Attention, then MLP or experts, each added to what came in."""

    def __init__(
        self, config: ModelConfig, dtype: jnp.dtype, attention: Attention, *, is_sparse: bool
    ) -> None:
        def norm(name: str | None) -> RMSNorm | None:
            path = f"{_LAYER}.{name}.weight"
            return None if name is None else RMSNorm(path, config.embed_dim, config, dtype)

        self.attention_in = norm(config.norms.attention_in)
        self.attention = SelfAttention(config, dtype, attention)
        self.attention_out = norm(config.norms.attention_out)
        self.mlp_in = norm(config.norms.mlp_in)
        if is_sparse and config.moe is not None:
            block = f"{_LAYER}.{config.moe.block}"
            self.mlp = MoeMLP(block, config, config.moe, dtype)
        else:
            self.mlp = GatedMLP(f"{_LAYER}.mlp", config, dtype)
        self.mlp_out = norm(config.norms.mlp_out)

    @override
    def __call__(
        self,
        x: Float[Array, "T D"],
        history: History,
        step: StepInput,
        index: Int[Array, ""],
    ) -> tuple[Float[Array, "T D"], History]:
        """Run layer `index`."""
        with jax.named_scope("attention"):
            attended, history = self.attention(_maybe(self.attention_in, x), history, step, index)
        x = x + _maybe(self.attention_out, attended)
        with jax.named_scope("mlp"):
            return x + _maybe(self.mlp_out, self.mlp(_maybe(self.mlp_in, x))), history


class Decoder(nnx.Module):
    """The whole network; see `models.registry.CausalLM` for the contract."""

    def __init__(
        self, config: ModelConfig, dtype: jnp.dtype, attention: Attention, *, stacked: bool
    ) -> None:
        self.config = config
        self.embedding = Embedding("model.embed_tokens.weight", config, dtype)
        self.stack = Stack(
            lambda kind: Layer(config, dtype, attention, is_sparse=kind.is_sparse),
            layer_kinds(config),
            stacked=stacked,
        )
        self.norm = RMSNorm("model.norm.weight", config.embed_dim, config, dtype)
        self.head = None if config.tie_embeddings else Embedding("lm_head.weight", config, dtype)

    def hidden(
        self,
        token_ids: Int[Array, " T"],
        positions: Int[Array, " T"],
        batch: Ragged,
        rows: Int[Array, " R"],
        history: History,
    ) -> tuple[Float[Array, "T D"], History]:
        """Run all layers; returns what `logits` takes, and the history with this step's tokens."""
        c = self.config
        turns = [rope.angles(positions, rope_frequencies(kind, c.rotary_dim)) for kind in c.ropes]
        cos, sin = (jnp.stack(each) for each in zip(*turns, strict=True))
        x = self.embedding.embed(token_ids)
        if c.embed_scale is not None:  # rounded to the dtype first, as the checkpoint was trained
            x = x * jnp.asarray(c.embed_scale, x.dtype)
        return self.stack(x, history, StepInput(cos, sin, batch, rows))

    def logits(self, hidden: Float[Array, "R D"]) -> Float[Array, "R V"]:
        """Score the next token of chosen tokens, in float32."""
        scores = (self.head or self.embedding).logits(self.norm(hidden))
        cap = self.config.logit_soft_cap
        return scores if cap is None else cap * jnp.tanh(scores / cap)


def layer_kinds(config: ModelConfig) -> tuple[LayerKind, ...]:
    """Tell what each layer is made of."""
    sparse = config.sparse_layers or (False,) * config.num_layers
    pairs = zip(sparse, config.paged_layers, strict=True)
    return tuple(LayerKind(is_sparse, not is_paged) for is_sparse, is_paged in pairs)


def rope_frequencies(kind: Rope, rotary_dim: int) -> rope.Frequencies:
    """Radians per position of each pair of a head."""
    plain = rope.frequencies(rotary_dim, kind.theta) / kind.linear_factor
    if kind.is_off:
        return np.zeros_like(plain)
    if kind.llama3 is None:
        return plain
    scaling = kind.llama3
    return rope.llama3_frequencies(
        plain,
        factor=scaling.factor,
        low_freq_factor=scaling.low_freq_factor,
        high_freq_factor=scaling.high_freq_factor,
        original_max_positions=scaling.original_max_positions,
    )


def _norm(heads: Array, norm: RMSNorm | None, config: ModelConfig) -> Array:
    if norm is None:
        return heads
    if config.qk_norm is QKNorm.HEAD:
        return norm(heads)
    return norm(heads.reshape(heads.shape[0], -1)).reshape(heads.shape)


def _maybe(norm: RMSNorm | None, x: Array) -> Array:
    return x if norm is None else norm(x)


def _of_layer(values: tuple[int, ...], index: Int[Array, ""]) -> Int[Array, ""] | int:
    """Look up a layer's own number; a constant if all layers have the same."""
    return values[0] if len(set(values)) == 1 else jnp.asarray(values)[index]


def _window(config: ModelConfig, index: Int[Array, ""]) -> Int[Array, ""] | int | None:
    if not any(config.windows):
        return None
    return _of_layer(tuple(window or _NO_WINDOW for window in config.windows), index)
