"""One row per weight: its dimensions, its place in the checkpoint, and how it is stored there.

A module's weight is an `nnx.Param` that holds its shape and carries its `ParamSpec`; so loading,
sharding, memory arithmetic and random test weights read the model's own definition and need no
second list.

    stored tensors     q [heads, embed]   k [kv_heads, embed]   v [kv_heads, embed]
        │              a device reads its part of each: q_i, k_i, v_i
        ▼ transform
    weight             [embed, heads | kv_heads | kv_heads]; it holds [embed, q_i | k_i | v_i]
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from radixloom_runtime.formats.stored import Form
from radixloom_runtime.models.sharding import (
    Axis,
    Dim,
    MeshShape,
    Place,
    dim_size,
    local_dim_size,
    mesh_axes_of,
)

Tensors = Sequence[NDArray[Any]]
Transform = Callable[[Tensors], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the checkpoint ("{layer}" in its name stands for the layer's index)."""

    name: str
    dims: tuple[Dim, ...]
    item: tuple[Axis, int] | None = None
    """The tensor is this one thing of an axis, an expert: read by those who hold it."""
    is_one_of_all: bool = False
    """The file's tensor has all things of `item`'s axis, one after another; this is one of them.

    If it is of floats, each is [in, out] there, the transpose of `dims`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is read: where it is one of all, the file's tensor has more."""
        return tuple(dim_size(dim) for dim in self.dims)

    def is_held(self, place: Place) -> bool:
        """Whether the device at `place` needs any of it."""
        if self.item is None:
            return True
        axis, index = self.item
        held = axis.held(place.shard(axis.name), place.shape.num_shards(axis.name))
        return held.start <= index < held.stop

    def held(self, place: Place) -> tuple[tuple[slice, ...], ...]:
        """Return what the device at `place` needs: stretches of each dimension."""
        return tuple(_held(dim, place) for dim in self.dims)


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Where a weight comes from, and how it is shared out.

    `transform` makes the weight of the stored tensors. Given a device's part of each, it must make
    that device's part of the weight; where it cannot (it looks along an axis that is cut), set
    `cuts_result`: then each device reads whole tensors, and keeps its part of what comes out.
    """

    dims: tuple[Dim, ...]
    stored: tuple[Stored, ...]
    transform: Transform
    cuts_result: bool = False
    is_exact: bool = False
    """Kept in float32 whatever the model's dtype."""
    layers: tuple[int, ...] = ()
    """Layers whose tensors are stacked along a first axis; empty: not stacked."""
    is_matrix: bool = False
    """[..., in, out], multiplied where it may be quantized: in `project` or `grouped_matmul`.

    Then `transform` makes scales [in groups, out] of stored [out, in groups] as well.
    """
    is_adapter: bool = False
    """Room for adapters, one after another in front of the axes of one: empty at first.

    `stored` are an adapter's own tensors, not the checkpoint's.
    """
    form: Form | None = None
    """How it is kept quantized; None: in the model's dtype."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole weight, on a single device."""
        return tuple(dim_size(dim) for dim in self.dims)

    @property
    def checkpoint(self) -> tuple[str, ...]:
        """Names of the stored tensors."""
        return tuple(dict.fromkeys(tensor.name for tensor in self.stored))

    @property
    def mesh_axes(self) -> tuple[tuple[str, ...], ...]:
        """Return the mesh axes that each dimension is cut over."""
        return tuple(mesh_axes_of(dim) for dim in self.dims)

    def dtype_in(self, model_dtype: jnp.dtype) -> jnp.dtype:
        """Return the dtype of this weight in a model of `model_dtype`."""
        return jnp.dtype("float32") if self.is_exact else model_dtype

    def local_shape(self, shape: MeshShape) -> tuple[int, ...]:
        """Return the shape of one device's part. Raises: `ConfigurationError` if uneven."""
        return tuple(local_dim_size(dim, shape) for dim in self.dims)

    def sharded_shape(self, shape: MeshShape) -> tuple[int, ...]:
        """Return the shape of all parts laid end to end: over `shape` if some are held twice."""
        shards = [shape.num_shards(dim[0].name) for dim in self.dims]
        return tuple(a * b for a, b in zip(self.local_shape(shape), shards, strict=True))

    def held(self, place: Place) -> tuple[tuple[slice, ...], ...]:
        """Return what the device at `place` holds: stretches of each dimension."""
        return tuple(_held(dim, place) for dim in self.dims)

    def arrays(self, dtype: Any) -> "tuple[tuple[ParamSpec, np.dtype[Any]], ...]":
        """Return rows and dtypes of what is in memory: the weight, or values, scales, offsets."""
        if self.form is None:
            return ((self, np.dtype(self.dtype_in(dtype))),)
        values = self._with_inputs(2) if self.form.is_packed else self
        scales = self._with_inputs(self.form.group)
        several = [(scales, self.form.scale_dtype)] * (1 + self.form.has_offsets)
        return ((values, self.form.numpy_dtype), *several)

    def num_bytes(self, dtype: Any, shape: MeshShape) -> int:
        """Memory of one device's part."""
        return sum(
            math.prod(row.local_shape(shape)) * kind.itemsize for row, kind in self.arrays(dtype)
        )

    def _with_inputs(self, together: int | None) -> "ParamSpec":
        """Return the row of a number for so many inputs, cut alike; None: for all, and whole."""
        *leading, (inputs,), outputs = self.dims
        axis = Axis("one", 1) if together is None else inputs.in_groups(together)
        return replace(self, dims=(*leading, (axis,), outputs))

    def at_layer(self, layer: int) -> "ParamSpec":
        """Return the row of one layer's own weight."""
        named = tuple(
            replace(tensor, name=tensor.name.format(layer=layer)) for tensor in self.stored
        )
        return replace(self, stored=named)

    def over_layers(self, layers: range) -> "ParamSpec":
        """Return the row of these layers' weights in one array."""
        dims = ((Axis("layers", len(layers)),), *self.dims)
        return replace(self, dims=dims, layers=tuple(layers))

    def of_one_adapter(self) -> "ParamSpec":
        """Return the row of what one of the adapters has."""
        return replace(self, dims=self.dims[1:])

    def parts(self) -> list["ParamSpec"]:
        """Return what is loaded one after another: this row, or one per layer of a stack."""
        if not self.layers:
            return [self]
        one = replace(self, dims=self.dims[1:], layers=())
        return [one.at_layer(layer) for layer in self.layers]


def weight(spec: ParamSpec, dtype: jnp.dtype) -> nnx.Param[Any]:
    """Declare a weight inside a module's `__init__`; nothing is allocated."""
    return nnx.Param(jax.ShapeDtypeStruct(spec.shape, spec.dtype_in(dtype)), spec=spec)


def vector(checkpoint: str, axis: Axis, dtype: jnp.dtype, *, is_exact: bool) -> nnx.Param[Any]:
    """Declare a weight of one dimension, which is stored as it is."""
    dims = ((axis,),)
    stored = Stored(checkpoint, dims)
    return weight(ParamSpec(dims, (stored,), as_is, is_exact=is_exact), dtype)


def spec_of(param: Any) -> ParamSpec:
    """Return the row that `weight` gave to this variable."""
    spec: ParamSpec = param.get_metadata("spec")
    return spec


def as_is(stored: Tensors) -> NDArray[Any]:
    """Keep the one stored tensor."""
    (tensor,) = stored
    return tensor


def side_by_side(stored: Tensors) -> NDArray[Any]:
    """Fuse linear layers that share an input: stored [out, in] each, here [in, sum of out]."""
    return np.concatenate([np.asarray(tensor).T for tensor in stored], axis=-1)


def unit_columns(stored: Tensors) -> NDArray[Any]:
    """Divide each column by its length (Bailing's "norm head"); needs whole columns."""
    (tensor,) = stored
    wide = np.asarray(tensor, np.float32)
    return wide / (np.linalg.norm(wide, axis=0, keepdims=True) + 1e-7)


def end_to_end(stored: Tensors) -> NDArray[Any]:
    """Fuse biases of linear layers that share an input."""
    return np.concatenate(list(stored))


def _held(dim: Dim, place: Place) -> tuple[slice, ...]:
    """Return the stretches of a dimension that the device at `place` holds, one for each axis."""
    first, found = 0, list[slice]()
    for axis in dim:
        held = axis.held(place.shard(axis.name), place.shape.num_shards(axis.name))
        found.append(slice(first + held.start, first + held.stop))
        first += axis.size
    return tuple(found)
