"""A mixture of experts in the place of a layer's MLP.

x ─► router ─► scores ─► experts, weights       (ops.routing: who)
x ─► rows by expert ─► gate, up ─► down ─► y    (ops.moe: one grouped product per matrix)
x ─► shared expert, maybe with a gate ──► + y
"""

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
from radixloom_runtime.models.config_moe import Moe, Scoring
from radixloom_runtime.models.params import ParamSpec, Stored, as_is, side_by_side, weight
from radixloom_runtime.models.stack import OneOf, with_weight
from radixloom_runtime.ops.moe import Routing, combine, grouped_matmul, route
from radixloom_runtime.ops.routing import best_experts, expert_weights, within_best_groups


class Router(nnx.Module):
    """Chooses each token's experts; all in float32, where near scores must not tie."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        num, dim = moe.num_experts, config.embed_dim
        self.moe = moe
        self.kernel = weight(
            ParamSpec(
                shape=(dim, num),
                axes=("embed", "router"),
                checkpoint=(f"{prefix}.gate.weight",),
                stored_shapes=((num, dim),),
                transform=side_by_side,
            ),
            dtype,
        )
        name = f"{prefix}.gate.{moe.choice_bias}"
        row = ParamSpec((num,), ("router",), (name,), ((num,),), as_is, is_exact=True)
        self.choice_bias = None if moe.choice_bias is None else weight(row, dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Routing:
        """Route all tokens."""
        moe = self.moe

        def score(kernel: Array) -> Array:
            return jnp.dot(x, kernel, preferred_element_type=jnp.float32)

        logits = with_weight(self.kernel.get_value(), score)
        is_softmax = moe.scoring is Scoring.SOFTMAX
        scores = jax.nn.softmax(logits, axis=-1) if is_softmax else jax.nn.sigmoid(logits)
        ranked = scores if self.choice_bias is None else scores + self.choice_bias[...]
        if moe.groups is not None:
            ranked = within_best_groups(
                ranked,
                num_groups=moe.groups.num_groups,
                groups_per_token=moe.groups.groups_per_token,
                num_best=moe.groups.num_best,
            )
        experts = best_experts(ranked, moe.experts_per_token)
        weights = expert_weights(
            scores, experts, normalize=moe.normalizes_weights, scale=moe.weight_scale
        )
        return route(weights, experts, moe.num_experts)


class MoeMLP(nnx.Module):
    """Each token through its few experts, and through the shared one if there is one."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        dim, width = config.embed_dim, moe.expert_dim
        gate, up, down = (
            tuple(f"{prefix}.experts.{i}.{name}.weight" for i in range(moe.num_experts))
            for name in moe.names
        )
        self.activation = config.activation
        self.router = Router(prefix, config, moe, dtype)
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
        routing = self.router(x)

        def multiply(rows: Array, matrices: Array | OneOf) -> Array:
            return with_weight(matrices, lambda m: grouped_matmul(rows, m, routing.group_sizes))

        both = multiply(x[routing.token_of_row], self.gate_up.get_value())
        gate, up = jnp.split(both, 2, axis=-1)
        rows = multiply(activate(gate, self.activation) * up, self.down.get_value())
        y = combine(rows, routing, x.shape[0])
        if self.shared is None:
            return y
        shared = self.shared(x)
        if self.shared_gate is not None:
            shared = jax.nn.sigmoid(self.shared_gate(x)) * shared
        return y + shared


def _shared(prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> GatedMLP | None:
    if not moe.shared_dim:
        return None
    return GatedMLP(f"{prefix}.{moe.shared}", config, dtype, width=moe.shared_dim)


def _shared_gate(prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> Linear | None:
    if not moe.shared_dim or moe.shared_gate is None:
        return None
    name = f"{prefix}.{moe.shared_gate}"
    return Linear((name,), config.embed_dim, (1,), ("embed", "one"), bias=False, dtype=dtype)


def _pairs(stored: Stored) -> NDArray[Any]:
    """Gates of all experts, then ups, stored [F, D] each: [E, D, 2F] here."""
    half = len(stored) // 2
    pairs = zip(stored[:half], stored[half:], strict=True)
    return np.stack([np.concatenate([gate.T, up.T], axis=-1) for gate, up in pairs])


def _each(stored: Stored) -> NDArray[Any]:
    return np.stack([matrix.T for matrix in stored])
