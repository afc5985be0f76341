"""A mixture of experts in the place of a layer's MLP.

x ─► router ─► scores ─► experts, weights       (ops.routing: who)
x ─► rows by expert ─► gate, up ─► down ─► y    (ops.moe: one grouped product per matrix)
x ─► shared expert, maybe with a gate ──► + y

All devices choose alike. Each computes the rows of the experts that it holds, or of its part of the
inside of each, and all add up. Groups hold their experts together: the tokens of all are gathered
before, and each keeps its own of the sum.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.models.blocks import GatedMLP, Linear, activate
from radixloom_runtime.models.collectives import (
    largest_over,
    local_count,
    of_all_groups,
    shard_index,
    sum_to_groups,
)
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_moe import Moe, Scoring
from radixloom_runtime.models.params import (
    ParamSpec,
    Stored,
    Tensors,
    as_is,
    side_by_side,
    weight,
)
from radixloom_runtime.models.sharding import Axis, Dim
from radixloom_runtime.models.stack import OneOf, with_weight
from radixloom_runtime.ops.moe import Routing, combine, grouped_matmul, held_by, route
from radixloom_runtime.ops.of_layer import OfLayer
from radixloom_runtime.ops.quantized import Matrix
from radixloom_runtime.ops.routing import best_experts, expert_weights, within_best_groups


class Router(nnx.Module):
    """Chooses each token's experts; all in float32, where near scores must not tie."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        embed, experts = Axis("embed", config.embed_dim), Axis("router", moe.num_experts)
        self.moe = moe
        stored = Stored(f"{prefix}.gate.weight", ((experts,), (embed,)))
        self.kernel = weight(ParamSpec(((embed,), (experts,)), (stored,), side_by_side), dtype)
        bias = Stored(f"{prefix}.gate.{moe.choice_bias}", ((experts,),))
        row = ParamSpec(((experts,),), (bias,), as_is, is_exact=True)
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
        embed, experts = Axis("embed", config.embed_dim), Axis("experts", moe.num_experts)
        mlp = Axis("expert_mlp", moe.expert_dim)
        gate, up, down = moe.names

        def of_each(name: str, dims: tuple[Dim, ...]) -> tuple[Stored, ...]:
            """Name one matrix of every expert."""
            return tuple(
                Stored(f"{prefix}.experts.{i}.{name}.weight", dims, item=(experts, i))
                for i in range(moe.num_experts)
            )

        inward, outward = ((mlp,), (embed,)), ((embed,), (mlp,))
        self.experts = experts
        self.activation = config.activation
        self.router = Router(prefix, config, moe, dtype)
        self.gate_up = weight(
            ParamSpec(
                dims=((experts,), (embed,), (mlp, mlp)),
                stored=(*of_each(gate, inward), *of_each(up, inward)),
                transform=_pairs,
                is_matrix=True,
            ),
            dtype,
        )
        self.down = weight(
            ParamSpec(
                dims=((experts,), (mlp,), (embed,)),
                stored=of_each(down, outward),
                transform=_each,
                is_matrix=True,
            ),
            dtype,
        )
        self.shared = _shared(prefix, config, moe, dtype)
        self.shared_gate = _shared_gate(prefix, config, moe, dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Transform each token."""
        here, everyones = local_count(self.experts), of_all_groups(x)
        routing = held_by(self.router(everyones), shard_index("experts") * here, here)

        def multiply(rows: Array, matrices: Matrix | OneOf | OfLayer, inputs: str) -> Array:
            largest = partial(largest_over, name=inputs)
            sizes = routing.group_sizes
            return with_weight(matrices, lambda m: grouped_matmul(rows, m, sizes, largest))

        both = multiply(everyones[routing.token_of_row], self.gate_up.get_value(), "embed")
        gate, up = jnp.split(both, 2, axis=-1)
        rows = multiply(activate(gate, self.activation) * up, self.down.get_value(), "expert_mlp")
        y = combine(rows, routing, everyones.shape[0])
        y = sum_to_groups(y, "experts", "expert_mlp")
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
    embed = Axis("embed", config.embed_dim)
    return Linear((name,), embed, (Axis("one", 1),), bias=False, dtype=dtype)


def _pairs(stored: Tensors) -> NDArray[Any]:
    """Gates of all experts, then ups, stored [F, D] each: [E, D, 2F] here."""
    half = len(stored) // 2
    pairs = zip(stored[:half], stored[half:], strict=True)
    return np.stack([np.concatenate([gate.T, up.T], axis=-1) for gate, up in pairs])


def _each(stored: Tensors) -> NDArray[Any]:
    return np.stack([matrix.T for matrix in stored])
