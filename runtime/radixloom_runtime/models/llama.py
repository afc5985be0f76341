"""Llama 1-3, SmolLM and all that share their layers (`LlamaForCausalLM`).

x + attention(norm(x)), then x + mlp(norm(x)); rotary positions; grouped key-value heads
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.blocks import (
    Embedding,
    GatedMLP,
    Linear,
    RMSNorm,
)
from radixloom_runtime.models.config import ModelConfig, Rope
from radixloom_runtime.models.stack import Stack, StepInput
from radixloom_runtime.ops import rope
from radixloom_runtime.ops.attention import Attention, Form, Ragged

_LAYER = "model.layers.{layer}"


class SelfAttention(nnx.Module):
    """Grouped-query attention over the paged cache."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, attention: Attention) -> None:
        prefix = f"{_LAYER}.self_attn"
        query_dim = config.num_heads * config.head_dim
        kv_dim = config.num_kv_heads * config.head_dim
        self.config = config
        self.attention = attention
        self.form = Form(scale=config.head_dim**-0.5)
        self.qkv = Linear(
            (f"{prefix}.q_proj", f"{prefix}.k_proj", f"{prefix}.v_proj"),
            config.embed_dim,
            (query_dim, kv_dim, kv_dim),
            ("embed", "heads"),
            bias=config.attention_bias,
            dtype=dtype,
        )
        self.out = Linear(
            (f"{prefix}.o_proj",),
            query_dim,
            (config.embed_dim,),
            ("heads", "embed"),
            bias=config.attention_bias,
            dtype=dtype,
        )

    @override
    def __call__(
        self,
        x: Float[Array, "T D"],
        pool: Float[Array, "G S 2K H"],
        step: StepInput,
        page_offset: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S 2K H"]]:
        """Write this step's keys and values, then attend over everything before."""
        c = self.config
        heads = self.qkv(x).reshape(x.shape[0], -1, c.head_dim)
        queries, keys, values = jnp.split(heads, (c.num_heads, c.num_heads + c.num_kv_heads), 1)
        queries = rope.rotate(queries, step.cos, step.sin)
        keys = rope.rotate(keys, step.cos, step.sin)
        attended, pool = self.attention(
            queries, keys, values, pool, step.batch, page_offset, self.form
        )
        return self.out(attended.reshape(x.shape[0], -1)), pool


class Layer(nnx.Module):
    """Attention, then MLP, each added to what came in."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, attention: Attention) -> None:
        dim, eps = config.embed_dim, config.norm_eps
        self.attention_norm = RMSNorm(f"{_LAYER}.input_layernorm.weight", dim, eps, dtype)
        self.attention = SelfAttention(config, dtype, attention)
        self.mlp_norm = RMSNorm(f"{_LAYER}.post_attention_layernorm.weight", dim, eps, dtype)
        self.mlp = GatedMLP(f"{_LAYER}.mlp", config, dtype)

    @override
    def __call__(
        self,
        x: Float[Array, "T D"],
        pool: Float[Array, "G S 2K H"],
        step: StepInput,
        page_offset: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S 2K H"]]:
        """Run one layer; its pages begin at `page_offset`."""
        with jax.named_scope("attention"):
            attended, pool = self.attention(self.attention_norm(x), pool, step, page_offset)
        x = x + attended
        with jax.named_scope("mlp"):
            return x + self.mlp(self.mlp_norm(x)), pool


class Llama(nnx.Module):
    """The whole network; see `models.registry.CausalLM` for the contract."""

    def __init__(
        self, config: ModelConfig, dtype: jnp.dtype, attention: Attention, *, stacked: bool
    ) -> None:
        self.config = config
        self.embedding = Embedding("model.embed_tokens.weight", config, dtype)
        self.stack = Stack(
            lambda: Layer(config, dtype, attention), config.num_layers, stacked=stacked
        )
        self.norm = RMSNorm("model.norm.weight", config.embed_dim, config.norm_eps, dtype)
        self.head = None if config.tie_embeddings else Embedding("lm_head.weight", config, dtype)

    def hidden(
        self,
        token_ids: Int[Array, " T"],
        positions: Int[Array, " T"],
        batch: Ragged,
        pool: Float[Array, "G S 2K H"],
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S 2K H"]]:
        """Run all layers; returns what `logits` takes, and the pool with this step's tokens."""
        cos, sin = rope.angles(positions, rope_frequencies(self.config.rope, self.config.head_dim))
        x = self.embedding.embed(token_ids)
        return self.stack(x, pool, StepInput(cos, sin, batch))

    def logits(self, hidden: Float[Array, "R D"]) -> Float[Array, "R V"]:
        """Score the next token of chosen tokens, in float32."""
        return (self.head or self.embedding).logits(self.norm(hidden))


def rope_frequencies(kind: Rope, head_dim: int) -> rope.Frequencies:
    """Radians per position of each pair of a head."""
    plain = rope.frequencies(head_dim, kind.theta) / kind.linear_factor
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
