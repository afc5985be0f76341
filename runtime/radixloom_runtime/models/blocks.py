"""What model families are made of, as flax.nnx modules.

Axis letters: T tokens of a step, D embedding, N query heads, K key-value heads, H head_dim,
F width of the MLP, V vocabulary, L layers.

Modules define; they are split once into (definition, leaves), and merged again only while jax
traces a step (see `models.registry.Model`).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.config import Activation, ModelConfig
from radixloom_runtime.models.params import (
    ParamSpec,
    Transform,
    as_is,
    end_to_end,
    side_by_side,
    weight,
)
from radixloom_runtime.models.stack import project
from radixloom_runtime.ops.norm import rms_norm


class RMSNorm(nnx.Module):
    """Root-mean-square norm with a learned scale."""

    def __init__(
        self,
        checkpoint: str,
        dim: int,
        config: ModelConfig,
        dtype: jnp.dtype,
        *,
        eps: float | None = None,
    ) -> None:
        """Use `eps`, or the model's own."""
        self.eps = config.norm_eps if eps is None else eps
        self.around_one = config.norm_around_one
        row = ParamSpec((dim,), ("embed",), (f"{checkpoint}.weight",), ((dim,),), as_is)
        self.scale = weight(row, dtype)

    @override
    def __call__(self, x: Float[Array, "*T D"]) -> Float[Array, "*T D"]:
        """Normalise along the last axis."""
        return rms_norm(x, self.scale[...], self.eps, around_one=self.around_one)


class Linear(nnx.Module):
    """One or more linear maps of the same input in one matrix product, with or without bias."""

    def __init__(
        self,
        checkpoints: tuple[str, ...],
        in_dim: int,
        out_dims: tuple[int, ...],
        axes: tuple[str, str],
        *,
        bias: bool,
        dtype: jnp.dtype,
    ) -> None:
        """Read from a tensor for each of `out_dims`, or from one that holds all, end to end."""
        total = sum(out_dims)
        stored_dims = (total,) if len(checkpoints) == 1 else out_dims
        self.kernel = weight(
            ParamSpec(
                shape=(in_dim, total),
                axes=axes,
                checkpoint=tuple(f"{name}.weight" for name in checkpoints),
                stored_shapes=tuple((out, in_dim) for out in stored_dims),
                transform=side_by_side,
            ),
            dtype,
        )
        names = tuple(f"{name}.bias" for name in checkpoints)
        shapes = tuple((out,) for out in stored_dims)
        row = ParamSpec((total,), axes[1:], names, shapes, end_to_end)
        self.bias = weight(row, dtype) if bias else None

    @override
    def __call__(self, x: Float[Array, "T I"]) -> Float[Array, "T O"]:
        """Apply all maps; their outputs lie side by side."""
        y = project(x, self.kernel.get_value())
        return y if self.bias is None else y + self.bias[...]


class Embedding(nnx.Module):
    """Rows of numbers per token id; read forwards, and backwards as output layer."""

    def __init__(
        self,
        checkpoint: str,
        config: ModelConfig,
        dtype: jnp.dtype,
        *,
        transform: Transform = as_is,
    ) -> None:
        shape = (config.vocab_size, config.embed_dim)
        row = ParamSpec(shape, ("vocab", "embed"), (f"{checkpoint}.weight",), (shape,), transform)
        self.table = weight(row, dtype)

    def embed(self, token_ids: Int[Array, " T"]) -> Float[Array, "T D"]:
        """Look up tokens; an id outside the vocabulary gives the nearest one's row."""
        return self.table[...].at[token_ids].get(mode="clip")

    def logits(self, x: Float[Array, "T D"]) -> Float[Array, "T V"]:
        """Score all tokens, in float32."""
        table = self.table[...]
        return jax.lax.dot_general(
            x, table, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
        )


class GatedMLP(nnx.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(
        self, prefix: str, config: ModelConfig, dtype: jnp.dtype, *, width: int | None = None
    ) -> None:
        dim, width, bias = config.embed_dim, width or config.mlp_dim, config.mlp_bias
        names = tuple(f"{prefix}.{name}" for name in config.names.gate_up)
        down = (f"{prefix}.{config.names.down}",)
        self.activation = config.activation
        self.gate_up = Linear(names, dim, (width, width), ("embed", "mlp"), bias=bias, dtype=dtype)
        self.down = Linear(down, width, (dim,), ("mlp", "embed"), bias=bias, dtype=dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Transform each token."""
        gate, up = jnp.split(self.gate_up(x), 2, axis=-1)
        return self.down(activate(gate, self.activation) * up)


def activate(x: Float[Array, "*T F"], activation: Activation) -> Float[Array, "*T F"]:
    """Apply the non-linear function of an MLP."""
    match activation:
        case Activation.SILU:
            return jax.nn.silu(x)
        case Activation.GELU_TANH:
            return jax.nn.gelu(x, approximate=True)
