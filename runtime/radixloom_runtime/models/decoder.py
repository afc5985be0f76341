"""The network that most families share; what differs is in `ModelConfig`.

    x + out_norm(attention(in_norm(x))), then x + out_norm(mlp(in_norm(x)))

Any of the four norms may be missing. Rotary positions; grouped key-value heads.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.adapters import AdapterRoom, StepAdapters
from radixloom_runtime.models.attention import SelfAttention
from radixloom_runtime.models.blocks import (
    Embedding,
    GatedMLP,
    Linear,
    RMSNorm,
    vocabulary_axis,
)
from radixloom_runtime.models.collectives import num_shards, shards_of
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.gated_delta import GatedDeltaNet
from radixloom_runtime.models.history import History
from radixloom_runtime.models.kimi_delta import KimiDeltaAttention
from radixloom_runtime.models.latent_attention import LatentAttention
from radixloom_runtime.models.moe import MoeMLP
from radixloom_runtime.models.positions import turns
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import LayerKind, Stack, StepInput
from radixloom_runtime.ops.attention import Attention, Ragged


class Layer(nnx.Module):
    """Attention, then MLP or experts, each added to what came in."""

    def __init__(
        self,
        config: ModelConfig,
        dtype: jnp.dtype,
        attention: Attention,
        kind: LayerKind,
        room: AdapterRoom | None,
    ) -> None:
        prefix, norms = config.names.layer, config.norms
        embed = Axis("embed", config.embed_dim)

        def norm(name: str | None) -> RMSNorm | None:
            path = f"{prefix}.{name}"
            return None if name is None else RMSNorm(path, embed, config, dtype)

        self.attention_in = norm(norms.attention_in)
        self.attention = _attention(config, dtype, attention, kind)
        self.attention_out = norm(norms.attention_out)
        self.mlp_in = norm(norms.mlp_in)
        if kind.is_sparse and config.moe is not None:
            self.mlp = MoeMLP(f"{prefix}.{config.moe.block}", config, config.moe, dtype)
        else:
            self.mlp = GatedMLP(f"{prefix}.{config.names.mlp}", config, dtype)
        self.mlp_out = norm(norms.mlp_out)
        if room is not None:
            for linear in self._adaptable():
                linear.make_room(room, dtype)

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
            return x + _maybe(self.mlp_out, self._mlp(_maybe(self.mlp_in, x), step)), history

    def _mlp(self, x: Float[Array, "T D"], step: StepInput) -> Float[Array, "T D"]:
        return self.mlp(x, step.adapters) if isinstance(self.mlp, GatedMLP) else self.mlp(x)

    def _adaptable(self) -> Iterator[Linear]:
        """Yield the maps that adapters may change."""
        if isinstance(self.attention, SelfAttention):
            yield self.attention.qkv
            yield self.attention.out
        if isinstance(self.mlp, GatedMLP):
            yield self.mlp.gate_up
            yield self.mlp.down


class Decoder(nnx.Module):
    """The whole network; see `models.registry.CausalLM` for the contract."""

    def __init__(
        self,
        config: ModelConfig,
        dtype: jnp.dtype,
        attention: Attention,
        *,
        stacked: bool,
        room: AdapterRoom | None = None,
    ) -> None:
        self.config = config
        names = config.names
        self.embedding = Embedding(names.embedding, config, dtype)
        self.stack = Stack(
            lambda kind: Layer(config, dtype, attention, kind, room),
            layer_kinds(config),
            stacked=stacked,
        )
        self.norm = RMSNorm(names.final_norm, Axis("embed", config.embed_dim), config, dtype)
        head = None
        if not config.tie_embeddings:
            head = Embedding(names.head, config, dtype, is_unit=config.unit_head)
        self.head = head

    def hidden(
        self,
        token_ids: Int[Array, " T"],
        positions: Int[Array, " T"],
        batch: Ragged,
        rows: Int[Array, " R"],
        history: History,
        adapters: StepAdapters | None = None,
    ) -> tuple[Float[Array, "T D"], History]:
        """Run all layers; returns what `logits` takes, and the history with this step's tokens."""
        c = self.config
        cos, sin = turns(c, positions)
        x = self.embedding.embed(token_ids)
        if c.embed_scale is not None:  # rounded to the dtype first, as the checkpoint was trained
            x = x * jnp.asarray(c.embed_scale, x.dtype)
        return self.stack(x, history, StepInput(cos, sin, batch, rows, adapters))

    def states(self, hidden: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Give `hidden` the final norm: what embeddings are made of."""
        return self.norm(hidden)

    def logits(self, hidden: Float[Array, "R D"]) -> Float[Array, "R V"]:
        """Score the next token of chosen tokens, in float32: this device's part of all tokens."""
        scores = (self.head or self.embedding).logits(self.states(hidden))
        cap = self.config.logit_soft_cap
        capped = scores if cap is None else cap * jnp.tanh(scores / cap)
        shards = shards_of(vocabulary_axis(self.config))
        if num_shards("vocab") * capped.shape[-1] == shards.size:
            return capped
        is_token = shards.indices(capped.shape[-1]) < shards.size
        return jnp.where(is_token, capped, -jnp.inf)


def _attention(
    config: ModelConfig, dtype: jnp.dtype, attention: Attention, kind: LayerKind
) -> nnx.Module:
    linear = config.linear
    if kind.is_linear and linear is not None:
        if linear.kimi is not None:
            return KimiDeltaAttention(config, linear, linear.kimi, dtype)
        return GatedDeltaNet(config, linear, dtype)
    if config.latent is not None:
        return LatentAttention(config, config.latent, dtype, attention)
    return SelfAttention(config, dtype, attention)


def layer_kinds(config: ModelConfig) -> tuple[LayerKind, ...]:
    """Tell what each layer is made of."""
    sparse = config.sparse_layers or (False,) * config.num_layers
    pairs = zip(sparse, config.paged_layers, strict=True)
    return tuple(LayerKind(is_sparse, not is_paged) for is_sparse, is_paged in pairs)


def _maybe(norm: RMSNorm | None, x: Array) -> Array:
    return x if norm is None else norm(x)
