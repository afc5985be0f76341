"""What devices tell each other inside a step, by the names of axes.

The step runs as one program on every device of the mesh (`shard_map`), which sees its own part of
each weight. Outside of a mesh, or along axes of one device, everything here does nothing.
"""

import jax
from jaxtyping import Array

from radixloom_runtime.models.sharding import RULES, Axis, Dim
from radixloom_runtime.ops.shards import Shards


def num_shards(name: str) -> int:
    """Return in how many parts the axis `name` is cut; known while tracing."""
    total = 1
    for mesh_axis in _wide_axes(name):
        total *= _mesh()[mesh_axis]
    return total


def shard_index(name: str) -> Array | int:
    """Return which part of the axis `name` this device holds."""
    axes = _wide_axes(name)
    return jax.lax.axis_index(axes) if axes else 0


def local_size(axis: Axis) -> int:
    """Return how many numbers of an axis this device holds."""
    return axis.local_size(num_shards(axis.name))


def local_count(axis: Axis) -> int:
    """Return how many things of an axis this device holds."""
    return axis.local_count(num_shards(axis.name))


def split(x: Array, dim: Dim) -> tuple[Array, ...]:
    """Cut the last dimension of this device's `x` into its axes."""
    bounds: list[int] = []
    for axis in dim[:-1]:
        bounds.append((bounds[-1] if bounds else 0) + local_size(axis))
    return tuple(jax.numpy.split(x, bounds, axis=-1))


def sum_over(x: Array, *names: str) -> Array:
    """Add up what the devices along these axes computed of their parts."""
    axes = tuple(dict.fromkeys(axis for name in names for axis in _wide_axes(name)))
    return jax.lax.psum(x, axes) if axes else x


def largest_over(x: Array, name: str) -> Array:
    """Return the largest that the devices along an axis have."""
    axes = _wide_axes(name)
    return jax.lax.pmax(x, axes) if axes else x


def mean_over(x: Array, name: str) -> Array:
    """Average what the devices along an axis have; each holds equally much of it."""
    axes = _wide_axes(name)
    return jax.lax.pmean(x, axes) if axes else x


def shards_of(axis: Axis) -> Shards:
    """Tell where this device's part of an axis lies, for what asks over all parts."""
    first = shard_index(axis.name) * local_size(axis)
    return Shards(axis.size, first, _wide_axes(axis.name), _wide_axes("groups"))


def of_all_groups(x: Array) -> Array:
    """Lay the first dimensions of all groups end to end, for every device."""
    axes = _wide_axes("groups")
    return jax.lax.all_gather(x, axes, axis=0, tiled=True) if axes else x


def sum_to_groups(x: Array, *names: str) -> Array:
    """Add up what the devices along these axes computed of all groups' rows; keep one's own rows.

    Undoes `of_all_groups`, where `names` are cut over the groups.
    """
    groups = _wide_axes("groups")
    axes = tuple(dict.fromkeys(axis for name in names for axis in _wide_axes(name)))
    if groups:
        x = jax.lax.psum_scatter(x, groups, scatter_dimension=0, tiled=True)
    within = tuple(axis for axis in axes if axis not in groups)
    return jax.lax.psum(x, within) if within else x


def _wide_axes(name: str) -> tuple[str, ...]:
    mesh = _mesh()
    return tuple(axis for axis in RULES[name].mesh_axes if mesh.get(axis, 1) > 1)


def _mesh() -> dict[str, int]:
    return dict(jax.sharding.get_abstract_mesh().shape)
