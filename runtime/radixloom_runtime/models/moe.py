"""A mixture of experts in the place of a layer's MLP."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.models.blocks import GatedMLP, Linear, activate
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_moe import Moe
from radixloom_runtime.models.params import ParamSpec, Stored, weight
from radixloom_runtime.models.stack import OneOf, with_weight
from radixloom_runtime.ops.moe import combine, grouped_matmul, route


class MoeMLP(nnx.Module):
    """Each token through its few experts, and through the shared one if there is one."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        dim, width = config.embed_dim, moe.expert_dim
        gate, up, down = (
            tuple(f"{prefix}.experts.{i}.{name}.weight" for i in range(moe.num_experts))
            for name in moe.names
        )
        self.moe = moe
        self.activation = config.activation
        self.router = Linear(
            (f"{prefix}.gate",),
            dim,
            (moe.num_experts,),
            ("embed", "router"),
            bias=False,
            dtype=dtype,
        )
        self.gate_up = weight(
            ParamSpec(
                shape=(moe.num_experts, dim, 2 * width),
                axes=("experts", "embed", "mlp"),
                checkpoint=(*gate, *up),
                stored_shapes=((width, dim),) * (2 * moe.num_experts),
                transform=_pairs,
            ),
            dtype,
        )
        self.down = weight(
            ParamSpec(
                shape=(moe.num_experts, width, dim),
                axes=("experts", "mlp", "embed"),
                checkpoint=down,
                stored_shapes=((dim, width),) * moe.num_experts,
                transform=_each,
            ),
            dtype,
        )
        self.shared = _shared(prefix, config, moe, dtype)
        self.shared_gate = _shared_gate(prefix, config, moe, dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Transform each token."""
        chosen = self.moe.experts_per_token
        routing = route(self.router(x), chosen, normalize=self.moe.normalizes_weights)

        def multiply(rows: Array, matrices: Array | OneOf) -> Array:
            return with_weight(matrices, lambda m: grouped_matmul(rows, m, routing.group_sizes))

        both = multiply(x[routing.token_of_row], self.gate_up.get_value())
        gate, up = jnp.split(both, 2, axis=-1)
        rows = multiply(activate(gate, self.activation) * up, self.down.get_value())
        y = combine(rows, routing, x.shape[0])
        if self.shared is None or self.shared_gate is None:
            return y
        return y + jax.nn.sigmoid(self.shared_gate(x)) * self.shared(x)


def _shared(prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> GatedMLP | None:
    if not moe.shared_dim:
        return None
    return GatedMLP(f"{prefix}.shared_expert", config, dtype, width=moe.shared_dim)


def _shared_gate(prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> Linear | None:
    if not moe.shared_dim:
        return None
    name = f"{prefix}.shared_expert_gate"
    return Linear((name,), config.embed_dim, (1,), ("embed", "one"), bias=False, dtype=dtype)


def _pairs(stored: Stored) -> NDArray[Any]:
    """Gates of all experts, then ups, stored [F, D] each: [E, D, 2F] here."""
    half = len(stored) // 2
    pairs = zip(stored[:half], stored[half:], strict=True)
    return np.stack([np.concatenate([gate.T, up.T], axis=-1) for gate, up in pairs])


def _each(stored: Stored) -> NDArray[Any]:
    return np.stack([matrix.T for matrix in stored])
