"""From a checkpoint's safetensors to arrays on the devices, one weight at a time.

    for each weight (of a stack: of each layer)
      for each part that a device of this process holds
        read its slices of the stored tensors ─► transform ─► put on the devices that hold it

Beside the weights themselves, memory holds the parts of one weight; nothing is read that no device
of this process wants. So a model loads in little more than its own size, wherever it is cut.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.stored import E2M1, Form, StoredMatrix
from radixloom_runtime.models.params import ParamSpec, Stored
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.models.sharding import Place
from radixloom_runtime.ops.quantized import Matrix, QuantizedMatrix, exponents, pack_pairs
from radixloom_runtime.runner.checkpoint import Checkpoint, stretches
from radixloom_runtime.runner.mesh import local_places, shape_of, weight_sharding

BytesProgress = Callable[[int], None]
"""Called with the bytes done, as stored on this process's devices; `num_bytes` in all."""


def load_weights(folder: Path, model: Model, mesh: Mesh, progress: BytesProgress) -> Weights:
    """Load every weight of `model` in the order of its rows. Raises: `ModelError`."""
    checkpoint = Checkpoint(folder, model.config.quantization)
    done = 0

    def loaded(part: ParamSpec) -> None:
        nonlocal done
        done += part.num_bytes(model.dtype, model.mesh_shape) * len(mesh.local_devices)
        progress(done)

    return tuple(_load(checkpoint, spec, mesh, model.dtype, loaded) for spec in model.specs)


def check_weight(checkpoint: Checkpoint, spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype) -> None:
    """Look whether a weight could be loaded. Raises: `ModelError`.

    Of plain floats only name, shape and type are asked for; what is quantized is read, and dropped.
    """
    for tensor in spec.stored:
        if spec.form is None and checkpoint.is_plain(tensor):
            checkpoint.check(tensor)
        else:
            for _, place in local_places(mesh):
                _part(checkpoint, spec, place, dtype)
            return


def replace_weight(
    checkpoint: Checkpoint, spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype, old: Matrix
) -> Matrix:
    """Load a weight into the memory of an old one, whose arrays are deleted."""
    arrays: list[jax.Array] = jax.tree.leaves(old)
    if spec.layers:
        return _filled(checkpoint, spec, mesh, dtype, arrays, lambda _: None)
    for array in arrays:
        array.delete()
    return _joined(spec, _load_one(checkpoint, spec, mesh, dtype))


def num_bytes(model: Model, mesh: Mesh) -> int:
    """Return the bytes on all devices of this process; the last that `progress` hears."""
    return model.device_bytes * len(mesh.local_devices)


def random_weights(model: Model, mesh: Mesh, seed: int) -> Weights:
    """Make small weights for tests and benchmarks without a checkpoint."""
    generator = np.random.default_rng(seed)

    def array(row: ParamSpec, dtype: np.dtype[Any]) -> jax.Array:
        numbers = generator.normal(size=row.sharded_shape(model.mesh_shape), scale=0.02)
        if dtype == "int8":
            numbers = np.rint(numbers * 50)
        if dtype == "uint8":  # exponents of scales, 127 being 1
            numbers = np.rint(124 + numbers)
        return jax.device_put(numbers.astype(dtype), weight_sharding(mesh, row))

    return tuple(
        _joined(spec, [array(row, dtype) for row, dtype in spec.arrays(model.dtype)])
        for spec in model.specs
    )


def weight_shapes(model: Model, mesh: Mesh) -> Any:
    """Return `Weights` of shapes, and how each array lies on the mesh."""

    def shape(row: ParamSpec, dtype: np.dtype[Any]) -> Any:
        whole = row.sharded_shape(model.mesh_shape)
        return jax.ShapeDtypeStruct(whole, dtype, sharding=weight_sharding(mesh, row))

    return tuple(
        _joined(spec, [shape(row, dtype) for row, dtype in spec.arrays(model.dtype)])
        for spec in model.specs
    )


def _load(
    checkpoint: Checkpoint,
    spec: ParamSpec,
    mesh: Mesh,
    dtype: jnp.dtype,
    loaded: Callable[[ParamSpec], None],
) -> Matrix:
    """Load a weight, or a stack layer by layer; tells `loaded` of each."""
    if not (spec.layers or spec.is_adapter):
        arrays = _load_one(checkpoint, spec, mesh, dtype)
        loaded(spec)
        return _joined(spec, arrays)
    stacks = [
        jnp.zeros(row.sharded_shape(shape_of(mesh)), kind, device=weight_sharding(mesh, row))
        for row, kind in spec.arrays(dtype)
    ]
    if spec.is_adapter:
        loaded(spec)
        return _joined(spec, stacks)
    return _filled(checkpoint, spec, mesh, dtype, stacks, loaded)


def _filled(
    checkpoint: Checkpoint,
    spec: ParamSpec,
    mesh: Mesh,
    dtype: jnp.dtype,
    stacks: list[jax.Array],
    loaded: Callable[[ParamSpec], None],
) -> Matrix:
    """Load layer by layer into the stacks, which are given up."""
    for index, part in enumerate(spec.parts()):
        layer = _load_one(checkpoint, part, mesh, dtype)
        pairs = zip(stacks, layer, strict=True)
        stacks = [_set_layer(stack, array, np.int32(index)) for stack, array in pairs]
        loaded(part)
    return _joined(spec, stacks)


def _joined(spec: ParamSpec, arrays: Sequence[jax.Array]) -> Matrix:
    if spec.form is None:
        return arrays[0]
    values, scales, *offsets = arrays
    moved = offsets[0] if offsets else None
    return QuantizedMatrix(
        values,
        scales,
        moved,
        is_packed=spec.form.is_packed,
        is_float=spec.form.dtype == E2M1,
        int8_activations=spec.form.int8_activations,
    )


@partial(jax.jit, donate_argnums=0)
def _set_layer(
    stack: Float[Array, "L ..."], layer: Float[Array, "..."], index: Int[Array, ""]
) -> Float[Array, "L ..."]:
    return stack.at[index].set(layer)


def _load_one(
    checkpoint: Checkpoint, spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype
) -> list[jax.Array]:
    return put_parts(spec, mesh, dtype, partial(_part, checkpoint, spec, dtype=dtype))


def put_parts(
    spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype, part_at: Callable[[Place], list[NDArray[Any]]]
) -> list[jax.Array]:
    """Make each different part of a weight once, and put it on every device that holds it."""
    holders: dict[tuple[Any, ...], list[tuple[Any, Place]]] = {}
    for device, place in local_places(mesh):
        shards = tuple(place.shard(dim[0].name) for dim in spec.dims)
        holders.setdefault(shards, []).append((device, place))
    on_device: dict[Any, list[jax.Array]] = {}
    for placed in holders.values():
        arrays = part_at(placed[0][1])
        for device, _ in placed:
            on_device[device] = [jax.device_put(array, device) for array in arrays]
    return [
        jax.make_array_from_single_device_arrays(
            row.sharded_shape(shape_of(mesh)),
            weight_sharding(mesh, row),
            [on_device[device][i] for device in mesh.local_devices],
        )
        for i, (row, _) in enumerate(spec.arrays(dtype))
    ]


def _part(
    checkpoint: Checkpoint, spec: ParamSpec, place: Place, dtype: jnp.dtype
) -> list[NDArray[Any]]:
    """Make one device's part of a weight; of its scales and offsets, too, if it has a form."""
    held = [tensor for tensor in spec.stored if tensor.is_held(place)]
    if spec.form is not None:
        parts = [
            _checked(checkpoint.small_part(tensor, place), tensor, spec.form) for tensor in held
        ]
        made = _small(spec, parts)
    elif spec.cuts_result:
        whole = spec.transform([checkpoint.whole(tensor) for tensor in spec.stored])
        made = [stretches(whole, spec.held(place))]
    else:
        made = [spec.transform([checkpoint.part(tensor, place) for tensor in held])]
    rows = spec.arrays(dtype)
    return [
        np.ascontiguousarray(_padded(array, row, place), kind)
        for array, (row, kind) in zip(made, rows, strict=True)
    ]


def _checked(part: StoredMatrix, tensor: Stored, form: Form) -> StoredMatrix:
    if part.is_of(form):
        return part
    raise ModelError(
        f"tensor {tensor.name}: wanted {form} by config.json, found {part.values.dtype}"
        f" {part.values.shape} with {part.scales.shape[1]} scales an output"
    )


def _small(spec: ParamSpec, parts: Sequence[StoredMatrix]) -> list[NDArray[Any]]:
    """Lay out values, scales and offsets, each as the weight itself is."""
    offsets = [part.offsets for part in parts if part.offsets is not None]
    values = spec.transform([part.values for part in parts])
    scales = spec.transform([part.scales for part in parts])
    form = spec.form
    return [
        pack_pairs(values) if form is not None and form.is_packed else values,
        exponents(scales) if form is not None and form.scale_dtype == np.uint8 else scales,
        *([spec.transform(offsets)] if offsets else []),
    ]


def _padded(part: NDArray[Any], row: ParamSpec, place: Place) -> NDArray[Any]:
    """Fill up with zeros, axis by axis: the last devices of a padded one hold less."""
    for index, (dim, held) in enumerate(zip(row.dims, row.held(place), strict=True)):
        have = [stretch.stop - stretch.start for stretch in held]
        want = [axis.local_size(place.shape.num_shards(axis.name)) for axis in dim]
        if have != want:
            pieces = np.split(part, np.cumsum(have)[:-1], axis=index)
            sizes = zip(pieces, want, strict=True)
            part = np.concatenate([_grown(p, index, size) for p, size in sizes], axis=index)
    return part


def _grown(part: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    missing = [(0, 0)] * part.ndim
    missing[axis] = (0, size - part.shape[axis])
    return np.pad(part, missing)
