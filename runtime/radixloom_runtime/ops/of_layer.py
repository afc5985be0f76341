"""Matrices of one layer, left in the stack of all layers for a kernel that fetches from there."""

from typing import Any

import jax
from jaxtyping import Array, Int

from radixloom_runtime.ops.quantized import Matrix


@jax.tree_util.register_pytree_node_class
class OfLayer:
    """One layer's matrices [E, I, O]: of a stack [L, E, I, O], those at `layer`."""

    def __init__(self, stack: Matrix, layer: Int[Array, ""]) -> None:
        self.stack = stack
        self.layer = layer

    def taken(self) -> Matrix:
        """Take them out of the stack, which is a copy where no product can be fused with it."""
        return self.stack[self.layer]

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """Part for jax."""
        return (self.stack, self.layer), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any, ...]) -> "OfLayer":
        """Join for jax."""
        return cls(*children)
