"""One row per weight: its shape, axes, place in the checkpoint, and how it is stored there.

A module's weight is an `nnx.Param` that holds its shape and carries its `ParamSpec`; so loading,
memory arithmetic and random test weights read the model's own definition and need no second list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

Stored = Sequence[NDArray[Any]]
Transform = Callable[[Stored], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Where a weight comes from and how its axes are called.

    `checkpoint` names one or more stored tensors ("{layer}" stands for the layer's index), each of
    the shape in `stored_shapes`; `transform` makes this weight of them.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    checkpoint: tuple[str, ...]
    stored_shapes: tuple[tuple[int, ...], ...]
    transform: Transform
    is_exact: bool = False
    """Kept in float32 whatever the model's dtype."""
    layers: tuple[int, ...] = ()
    """Layers whose tensors are stacked along a first axis; empty: not stacked."""

    def dtype_in(self, model_dtype: jnp.dtype) -> jnp.dtype:
        """Return the dtype of this weight in a model of `model_dtype`."""
        return jnp.dtype("float32") if self.is_exact else model_dtype

    def at_layer(self, layer: int) -> "ParamSpec":
        """Return the row of one layer's own weight."""
        names = tuple(name.format(layer=layer) for name in self.checkpoint)
        return replace(self, checkpoint=names)

    def stacked(self, layers: range) -> "ParamSpec":
        """Return the row of these layers' weights in one array."""
        return replace(
            self,
            shape=(len(layers), *self.shape),
            axes=("layers", *self.axes),
            layers=tuple(layers),
        )

    def parts(self) -> list["ParamSpec"]:
        """Return what is loaded one after another: this row, or one per layer of a stack."""
        if not self.layers:
            return [self]
        one = replace(self, shape=self.shape[1:], axes=self.axes[1:], layers=())
        return [one.at_layer(layer) for layer in self.layers]


def weight(spec: ParamSpec, dtype: jnp.dtype) -> nnx.Param[Any]:
    """Declare a weight inside a module's `__init__`; nothing is allocated."""
    return nnx.Param(jax.ShapeDtypeStruct(spec.shape, spec.dtype_in(dtype)), spec=spec)


def spec_of(param: Any) -> ParamSpec:
    """Return the row that `weight` gave to this variable."""
    spec: ParamSpec = param.get_metadata("spec")
    return spec


def as_is(stored: Stored) -> NDArray[Any]:
    """Keep the one stored tensor."""
    (tensor,) = stored
    return tensor


def side_by_side(stored: Stored) -> NDArray[Any]:
    """Fuse linear layers that share an input: stored [out, in] each, here [in, sum of out]."""
    return np.concatenate([np.asarray(tensor).T for tensor in stored], axis=-1)


def unit_columns(stored: Stored) -> NDArray[Any]:
    """Divide each column by its length (Bailing's "norm head")."""
    (tensor,) = stored
    wide = np.asarray(tensor, np.float32)
    return wide / (np.linalg.norm(wide, axis=0, keepdims=True) + 1e-7)


def end_to_end(stored: Stored) -> NDArray[Any]:
    """Fuse biases of linear layers that share an input."""
    return np.concatenate(list(stored))
