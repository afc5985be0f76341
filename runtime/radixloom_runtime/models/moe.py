"""A mixture of experts in the place of a layer's MLP.

x ─► router ─► scores ─► experts, weights       (ops.routing: who)
x ─► rows by expert ─► gate, up ─► down ─► y    (ops.moe: one grouped product per matrix)
x ─► shared expert, maybe with a gate ──► + y

All devices choose alike. Each computes the rows of the experts that it holds, or of its part of the
inside of each, and all add up. Groups hold their experts together: the tokens of all are gathered
before, and each keeps its own of the sum.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from radixloom_runtime.models import expert_weights
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
from radixloom_runtime.models.expert_weights import ExpertAxes
from radixloom_runtime.models.params import ParamSpec, Stored, side_by_side, vector, weight
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import OneOf, with_weight
from radixloom_runtime.ops.moe import (
    Routing,
    combine,
    expert_of_row,
    grouped_matmul,
    held_by,
    route,
)
from radixloom_runtime.ops.of_layer import OfLayer
from radixloom_runtime.ops.quantized import Matrix
from radixloom_runtime.ops.routing import best_experts, weigh, within_best_groups


class Router(nnx.Module):
    """Chooses each token's experts; all in float32, where near scores must not tie."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        embed, experts = Axis("embed", config.embed_dim), Axis("router", moe.num_experts)
        self.moe = moe
        path = f"{prefix}.{moe.router}"
        stored = Stored(f"{path}.weight", ((experts,), (embed,)))
        self.kernel = weight(ParamSpec(((embed,), (experts,)), (stored,), side_by_side), dtype)

        def bias(name: str | None) -> nnx.Param[Any] | None:
            return None if name is None else vector(f"{path}.{name}", experts, dtype, is_exact=True)

        self.bias = bias("bias" if moe.has_router_bias else None)
        self.choice_bias = bias(moe.choice_bias)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Routing:
        """Route all tokens."""
        moe = self.moe

        def score(kernel: Array) -> Array:
            return jnp.dot(x, kernel, preferred_element_type=jnp.float32)

        logits = with_weight(self.kernel.get_value(), score)
        if self.bias is not None:
            logits += self.bias[...]
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
        weights = weigh(scores, experts, normalize=moe.normalizes_weights, scale=moe.weight_scale)
        return route(weights, experts, moe.num_experts)


class Experts(nnx.Module):
    """The routed experts alone."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        axes = ExpertAxes(config.embed_dim, moe)
        self.experts = axes.experts
        self.moe = moe
        self.activation = config.activation
        self.gate_up = weight(expert_weights.gate_up(prefix, axes, moe), dtype)
        self.down = weight(expert_weights.down(prefix, axes, moe), dtype)

        def bias(describe: Callable[[str, ExpertAxes, Moe], ParamSpec]) -> nnx.Param[Any] | None:
            return weight(describe(prefix, axes, moe), dtype) if moe.has_expert_bias else None

        self.gate_up_bias = bias(expert_weights.gate_up_bias)
        self.down_bias = bias(expert_weights.down_bias)

    @override
    def __call__(self, x: Float[Array, "T D"], routing: Routing) -> Float[Array, "T D"]:
        """Transform each token by those of its experts, and their parts, that this device holds."""
        here = local_count(self.experts)
        routing = held_by(routing, shard_index("experts") * here, here)

        def multiply(rows: Array, matrices: Matrix | OneOf | OfLayer, inputs: str) -> Array:
            largest = partial(largest_over, name=inputs)
            sizes = routing.group_sizes
            return with_weight(matrices, lambda m: grouped_matmul(rows, m, sizes, largest))

        both = multiply(x[routing.token_of_row], self.gate_up.get_value(), "embed")
        both += self._bias(self.gate_up_bias, routing)
        gate, up = jnp.split(both, 2, axis=-1)
        rows = multiply(self._activate(gate, up), self.down.get_value(), "expert_mlp")
        is_first = shard_index("expert_mlp") == 0  # of the devices that add up one expert's parts
        rows += self._bias(self.down_bias, routing) * is_first
        return combine(rows, routing, x.shape[0])

    def _activate(self, gate: Float[Array, "M F"], up: Float[Array, "M F"]) -> Float[Array, "M F"]:
        cut = self.moe.cut_swiglu
        if cut is None:
            return activate(gate, self.activation) * up
        gate, up = jnp.minimum(gate, cut.limit), jnp.clip(up, -cut.limit, cut.limit)
        return gate * jax.nn.sigmoid(cut.slope * gate) * (up + 1)

    def _bias(self, bias: nnx.Param[Any] | None, routing: Routing) -> Float[Array, "M O"] | int:
        if bias is None:
            return 0
        return with_weight(bias.get_value(), lambda of_expert: of_expert[expert_of_row(routing)])


class MoeMLP(nnx.Module):
    """Each token through its few experts, and through the shared one if there is one."""

    def __init__(self, prefix: str, config: ModelConfig, moe: Moe, dtype: jnp.dtype) -> None:
        self.router = Router(prefix, config, moe, dtype)
        self.experts = Experts(prefix, config, moe, dtype)
        self.shared = _shared(prefix, config, moe, dtype)
        self.shared_gate = _shared_gate(prefix, config, moe, dtype)

    @override
    def __call__(self, x: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Transform each token."""
        everyones = of_all_groups(x)
        parts = self.experts(everyones, self.router(everyones))
        y = sum_to_groups(parts, "experts", "expert_mlp")
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
