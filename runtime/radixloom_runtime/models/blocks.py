"""What model families are made of, as flax.nnx modules.

Axis letters: T tokens of a step, D embedding, N query heads, K key-value heads, H head_dim,
F width of the MLP, V vocabulary, L layers.

A step sees one device's part of everything that is cut (`models.sharding`): sizes come from arrays
or `models.collectives`, not from the configuration.

Modules define; they are split once into (definition, leaves), and merged again only while jax
traces a step (see `models.registry.Model`).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.adapters import AdapterRoom, StepAdapters
from radixloom_runtime.models.collectives import (
    largest_over,
    mean_over,
    num_shards,
    shard_index,
    split,
    sum_over,
)
from radixloom_runtime.models.config import Activation, ModelConfig
from radixloom_runtime.models.low_rank import LowRank
from radixloom_runtime.models.params import (
    ParamSpec,
    Stored,
    as_is,
    end_to_end,
    side_by_side,
    unit_columns,
    weight,
)
from radixloom_runtime.models.sharding import Axis, Dim
from radixloom_runtime.models.stack import project
from radixloom_runtime.ops.dense import scores
from radixloom_runtime.ops.norm import rms_norm
from radixloom_runtime.ops.table import rows_of

_PRECISE = ("router", "one")
"""Outputs that choose or weigh experts: their matrices are small, and stay as exact as they are."""


class RMSNorm(nnx.Module):
    """Root-mean-square norm with a learned scale."""

    def __init__(
        self,
        checkpoint: str,
        axis: Axis,
        config: ModelConfig,
        dtype: jnp.dtype,
        *,
        eps: float | None = None,
    ) -> None:
        """Use `eps`, or the model's own."""
        self.eps = config.norm_eps if eps is None else eps
        self.around_one = config.norm_around_one
        self.axis = axis
        stored = Stored(f"{checkpoint}.weight", ((axis,),))
        self.scale = weight(ParamSpec(((axis,),), (stored,), as_is), dtype)

    @override
    def __call__(self, x: Float[Array, "*T D"]) -> Float[Array, "*T D"]:
        """Normalise along the last axis, wherever its parts are."""
        return rms_norm(
            x,
            self.scale[...],
            self.eps,
            around_one=self.around_one,
            mean_over_devices=lambda mean: mean_over(mean, self.axis.name),
        )


class Linear(nnx.Module):
    """One or more linear maps of the same input in one matrix product, with or without bias.

    Each device computes its part of the output (`out_axes` are cut), or has a part of the input
    (`in_axis` is cut) and adds up with the others.
    """

    def __init__(
        self,
        checkpoints: tuple[str, ...],
        in_axis: Axis,
        out_axes: Dim,
        *,
        bias: bool,
        dtype: jnp.dtype,
    ) -> None:
        """Read one tensor for each of `out_axes`, or from a single one that holds all."""
        is_fused = len(checkpoints) == 1
        outs: tuple[Dim, ...] = (out_axes,) if is_fused else tuple((axis,) for axis in out_axes)
        named = list(zip(checkpoints, outs, strict=True))
        kernels = tuple(Stored(f"{name}.weight", (out, (in_axis,))) for name, out in named)
        biases = tuple(Stored(f"{name}.bias", (out,)) for name, out in named)
        self.in_axis = in_axis
        self.out_axes = out_axes
        is_matrix = out_axes[0].name not in _PRECISE
        row = ParamSpec(((in_axis,), out_axes), kernels, side_by_side, is_matrix=is_matrix)
        self.kernel = weight(row, dtype)
        self.bias = weight(ParamSpec((out_axes,), biases, end_to_end), dtype) if bias else None
        self.checkpoints = checkpoints
        self.low_rank: LowRank | None = nnx.data(None)

    def make_room(self, room: AdapterRoom, dtype: jnp.dtype) -> None:
        """Let adapters change these maps."""
        self.low_rank = LowRank(self.checkpoints, self.in_axis, self.out_axes, room, dtype)

    @override
    def __call__(
        self, x: Float[Array, "T I"], adapters: StepAdapters | None = None
    ) -> Float[Array, "T O"]:
        """Apply all maps, as the tokens' `adapters` change them; outputs lie side by side."""
        largest = partial(largest_over, name=self.in_axis.name)
        y = project(x, self.kernel.get_value(), largest)
        if self.low_rank is not None and adapters is not None:
            y += self.low_rank(x, adapters)
        y = sum_over(y, self.in_axis.name)
        return y if self.bias is None else y + self.bias[...]

    def split(
        self, x: Float[Array, "T I"], adapters: StepAdapters | None = None
    ) -> tuple[Float[Array, "T _"], ...]:
        """Apply all maps, each output by itself."""
        return split(self(x, adapters), self.out_axes)


class Embedding(nnx.Module):
    """Rows of numbers per token id; read forwards, and backwards as output layer."""

    def __init__(
        self, checkpoint: str, config: ModelConfig, dtype: jnp.dtype, *, is_unit: bool = False
    ) -> None:
        """`is_unit`: each column is divided by its length, over the whole vocabulary."""
        dims = ((vocabulary_axis(config),), (Axis("embed", config.embed_dim),))
        self.vocab_size = config.vocab_size
        stored, transform = (
            (Stored(f"{checkpoint}.weight", dims),),
            unit_columns if is_unit else as_is,
        )
        self.table = weight(ParamSpec(dims, stored, transform, cuts_result=is_unit), dtype)

    def embed(self, token_ids: Int[Array, " T"]) -> Float[Array, "T D"]:
        """Look up tokens; an id outside the vocabulary gives the nearest one's row."""
        table = self.table[...]
        if num_shards("vocab") == 1:
            return rows_of(table, jnp.clip(token_ids, 0, self.vocab_size - 1))
        rows = jnp.clip(token_ids, 0, self.vocab_size - 1) - shard_index("vocab") * len(table)
        is_held = (rows >= 0) & (rows < len(table))
        found = rows_of(table, jnp.clip(rows, 0, len(table) - 1))
        return sum_over(jnp.where(is_held[:, None], found, 0), "vocab")

    def logits(self, x: Float[Array, "T D"]) -> Float[Array, "T V"]:
        """Score this device's part of the vocabulary, in float32; filling has any score."""
        return scores(x, self.table[...])


def vocabulary_axis(config: ModelConfig) -> Axis:
    """Return the axis of tokens that are scored."""
    return Axis("vocab", config.vocab_size)


class GatedMLP(nnx.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(
        self, prefix: str, config: ModelConfig, dtype: jnp.dtype, *, width: int | None = None
    ) -> None:
        embed, mlp = Axis("embed", config.embed_dim), Axis("mlp", width or config.mlp_dim)
        names = tuple(f"{prefix}.{name}" for name in config.names.gate_up)
        down = (f"{prefix}.{config.names.down}",)
        self.activation = config.activation
        self.gate_up = Linear(names, embed, (mlp, mlp), bias=config.mlp_bias, dtype=dtype)
        self.down = Linear(down, mlp, (embed,), bias=config.mlp_bias, dtype=dtype)

    @override
    def __call__(
        self, x: Float[Array, "T D"], adapters: StepAdapters | None = None
    ) -> Float[Array, "T D"]:
        """Transform each token."""
        gate, up = self.gate_up.split(x, adapters)
        return self.down(activate(gate, self.activation) * up, adapters)


def activate(x: Float[Array, "*T F"], activation: Activation) -> Float[Array, "*T F"]:
    """Apply the non-linear function of an MLP."""
    match activation:
        case Activation.SILU:
            return jax.nn.silu(x)
        case Activation.GELU_TANH:
            return jax.nn.gelu(x, approximate=True)
