"""Low-rank adapters (LoRA) of linear maps: several at once, each token with its own or none.

    y = x W  +  (x A_s) B_s        s: the slot of the token's adapter

    A  [slots, I, n * rank]        one beside the other for the n maps that a matrix holds
    B  [slots, rank, O]            the adapter's own scale is in it; ranks below are filled with 0

Arrays are as large as the room that was asked for, whatever is loaded: none compiles anything.
A step goes through the adapters that its tokens have, no others: without any it multiplies nothing
more, and its time follows how many take part, not how many there is room for. Each is multiplied
with all tokens, of which those of others are then dropped: ranks are small, and the products of a
step stay few and dense.

A is cut where a map's input is, B where its output is, like the matrix itself; where inputs are
cut, each device adds its part before all of them add up.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.adapters import AdapterRoom, StepAdapters
from radixloom_runtime.models.collectives import local_size, split
from radixloom_runtime.models.params import ParamSpec, Stored, side_by_side, weight
from radixloom_runtime.models.sharding import Axis, Dim
from radixloom_runtime.models.stack import with_weight
from radixloom_runtime.ops.dense import times
from radixloom_runtime.ops.of_layer import OfLayer


class LowRank(nnx.Module):
    """What adapters add to one linear map, or to several of the same input."""

    def __init__(
        self,
        checkpoints: tuple[str, ...],
        in_axis: Axis,
        out_axes: Dim,
        room: AdapterRoom,
        dtype: jnp.dtype,
    ) -> None:
        """Take the names and axes of the `Linear` that it belongs to."""
        slots, rank = Axis("adapters", room.count), Axis("rank", room.rank)
        self.rank = rank
        self.out_axes = out_axes
        is_fused = len(checkpoints) == 1
        self.parts: tuple[Dim, ...] = (
            (out_axes,) if is_fused else tuple((axis,) for axis in out_axes)
        )
        named = list(zip(checkpoints, self.parts, strict=True))
        downs = tuple(Stored(f"{name}.lora_A.weight", ((rank,), (in_axis,))) for name, _ in named)
        ups = tuple(Stored(f"{name}.lora_B.weight", (out, (rank,))) for name, out in named)
        down = ((slots,), (in_axis,), (rank,) * len(named))
        up = ((slots,), (rank,), out_axes)
        self.down = weight(ParamSpec(down, downs, side_by_side, is_adapter=True), dtype)
        self.up = weight(ParamSpec(up, ups, side_by_side, is_adapter=True), dtype)

    @override
    def __call__(self, x: Float[Array, "T I"], adapters: StepAdapters) -> Float[Array, "T O"]:
        """Compute what is to be added for each token; zeros for those without an adapter."""
        num_out = sum(local_size(axis) for axis in self.out_axes)

        def add(index: Array, total: Array) -> Array:
            place = adapters.active[index]
            low = times(x, _at(self.down.get_value(), place))
            low = jnp.where((adapters.of_token == place)[:, None], low, 0)
            return total + self._raise(low, _at(self.up.get_value(), place))

        nothing = jnp.zeros((x.shape[0], num_out), x.dtype)
        return jax.lax.fori_loop(0, adapters.num_active, add, nothing)

    def _raise(self, low: Float[Array, "T _"], up: Float[Array, "R O"]) -> Float[Array, "T O"]:
        if len(self.parts) == 1:
            return times(low, up)
        lows = split(low, (self.rank,) * len(self.parts))
        pairs = zip(lows, split(up, self.out_axes), strict=True)
        return jnp.concatenate([times(each, part) for each, part in pairs], axis=-1)


def _at(weights: Any, place: Int[Array, ""]) -> Array:
    """Take one adapter's matrix of this layer, and nothing else, out of where it lies."""
    if isinstance(weights, OfLayer):
        stack: Any = weights.stack
        return stack[weights.layer, place]
    return with_weight(weights, lambda stack: stack[place])
