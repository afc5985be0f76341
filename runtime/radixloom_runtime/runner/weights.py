"""From a checkpoint's safetensors to arrays on the devices, one weight at a time.

    for each weight (of a stack: of each layer)
      for each part that a device of this process holds
        read its slices of the stored tensors ─► transform ─► put on the devices that hold it

Beside the weights themselves, memory holds the parts of one weight; nothing is read that no device
of this process wants. So a model loads in little more than its own size, wherever it is cut.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.params import ParamSpec, Stored
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.models.sharding import Place
from radixloom_runtime.runner.mesh import local_places, shape_of, weight_sharding

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"

BytesProgress = Callable[[int], None]
"""Called with the bytes done, as stored on this process's devices; `num_bytes` in all."""

Stretches = tuple[tuple[slice, ...], ...]
"""Of each dimension; one of them may have several."""


class Checkpoint:
    """Tensors of a checkpoint folder by name; close it after loading."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_of = _file_of_tensors(folder)
        self._open: dict[str, Any] = {}
        self._stack = ExitStack()

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors that the folder holds."""
        return tuple(self._file_of)

    def tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Read one tensor. Raises: `ModelError` if absent, unreadable or of another shape."""
        return self._read(name, shape, tuple((slice(0, size),) for size in shape))

    def part(self, tensor: Stored, place: Place) -> NDArray[Any]:
        """Read what the device at `place` holds of a tensor, and no more. Raises: `ModelError`."""
        return self._read(tensor.name, tensor.shape, tensor.held(place))

    def _read(self, name: str, shape: tuple[int, ...], held: Stretches) -> NDArray[Any]:
        file = self._file_of.get(name)
        if file is None:
            raise ModelError(f"{self._folder} holds no tensor {name}; wanted one of shape {shape}")
        try:
            stored = self._handle(file).get_slice(name)
            found = tuple(stored.get_shape())
            if found == shape:
                return _stretches(stored, held)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"tensor {name} of {self._folder / file}: {error}") from error
        raise ModelError(
            f"tensor {name} of {self._folder / file}: wanted shape {shape} by config.json,"
            f" found {found}"
        )

    def _handle(self, file: str) -> Any:
        if file not in self._open:
            opened = safe_open(self._folder / file, framework="numpy")
            self._open[file] = self._stack.enter_context(opened)
        return self._open[file]

    def close(self) -> None:
        """Unmap all files."""
        self._stack.close()


def load_weights(folder: Path, model: Model, mesh: Mesh, progress: BytesProgress) -> Weights:
    """Load every weight of `model` in the order of its rows. Raises: `ModelError`."""
    checkpoint = Checkpoint(folder)
    done = 0
    weights: list[jax.Array] = []
    try:
        for spec in model.specs:
            array = _load(checkpoint, spec, mesh, spec.dtype_in(model.dtype))
            weights.append(array)
            done += sum(part.data.nbytes for part in array.addressable_shards)
            progress(done)
    finally:
        checkpoint.close()
    return tuple(weights)


def num_bytes(model: Model, mesh: Mesh) -> int:
    """Return the bytes on all devices of this process; the last that `progress` hears."""
    return model.device_bytes * len(mesh.local_devices)


def random_weights(model: Model, mesh: Mesh, seed: int) -> Weights:
    """Make small weights for tests and benchmarks without a checkpoint."""
    generator = np.random.default_rng(seed)
    return tuple(
        jax.device_put(
            generator.normal(size=spec.sharded_shape(model.mesh_shape), scale=0.02).astype(
                spec.dtype_in(model.dtype)
            ),
            weight_sharding(mesh, spec),
        )
        for spec in model.specs
    )


def weight_shapes(model: Model, mesh: Mesh) -> Any:
    """Return `Weights` of shapes, and how each array lies on the mesh."""
    return tuple(
        jax.ShapeDtypeStruct(
            spec.sharded_shape(model.mesh_shape),
            spec.dtype_in(model.dtype),
            sharding=weight_sharding(mesh, spec),
        )
        for spec in model.specs
    )


def _load(checkpoint: Checkpoint, spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype) -> jax.Array:
    if not spec.layers:
        return _load_one(checkpoint, spec, mesh, dtype)
    shape = spec.sharded_shape(shape_of(mesh))
    stack = jnp.zeros(shape, dtype, device=weight_sharding(mesh, spec))
    for index, part in enumerate(spec.parts()):
        stack = _set_layer(stack, _load_one(checkpoint, part, mesh, dtype), np.int32(index))
    return stack


@partial(jax.jit, donate_argnums=0)
def _set_layer(
    stack: Float[Array, "L ..."], layer: Float[Array, "..."], index: Int[Array, ""]
) -> Float[Array, "L ..."]:
    return stack.at[index].set(layer)


def _load_one(checkpoint: Checkpoint, spec: ParamSpec, mesh: Mesh, dtype: jnp.dtype) -> jax.Array:
    """Read each different part once, and put it on every device that holds it."""
    holders: dict[tuple[Any, ...], list[tuple[Any, Place]]] = {}
    for device, place in local_places(mesh):
        shards = tuple(place.shard(dim[0].name) for dim in spec.dims)
        holders.setdefault(shards, []).append((device, place))
    on_device: dict[Any, jax.Array] = {}
    for placed in holders.values():
        part = _part(checkpoint, spec, placed[0][1], dtype)
        on_device |= {device: jax.device_put(part, device) for device, _ in placed}
    return jax.make_array_from_single_device_arrays(
        spec.sharded_shape(shape_of(mesh)),
        weight_sharding(mesh, spec),
        [on_device[device] for device in mesh.local_devices],
    )


def _part(checkpoint: Checkpoint, spec: ParamSpec, place: Place, dtype: jnp.dtype) -> NDArray[Any]:
    """Make one device's part of a weight."""
    if spec.cuts_result:
        whole = spec.transform([checkpoint.tensor(t.name, t.shape) for t in spec.stored])
        part = _stretches(whole, spec.held(place))
    else:
        held = [tensor for tensor in spec.stored if tensor.is_held(place)]
        part = spec.transform([checkpoint.part(tensor, place) for tensor in held])
    shape = spec.local_shape(place.shape)
    missing = [(0, want - have) for want, have in zip(shape, part.shape, strict=True)]
    if any(count for _, count in missing):  # the last devices of a padded axis
        part = np.pad(part, missing)
    return np.ascontiguousarray(part, dtype)


def _stretches(stored: Any, held: Stretches) -> NDArray[Any]:
    """Cut stretches out of an array, or of a tensor in a file, and lay them end to end."""
    blocks = [stored[index] for index in itertools.product(*held)]
    if len(blocks) == 1:
        return blocks[0]
    (dim,) = (i for i, stretches in enumerate(held) if len(stretches) > 1)
    return np.concatenate(blocks, axis=dim)


def _file_of_tensors(folder: Path) -> dict[str, str]:
    index = folder / _INDEX
    if index.exists():
        return _read_index(index)
    if not (folder / _SINGLE).exists():
        raise ModelError(f"{folder} holds neither {_SINGLE} nor {_INDEX}: its weights are missing")
    return dict(_names(folder / _SINGLE))


def _names(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield from ((name, path.name) for name in file.keys())  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}") from error


def _read_index(path: Path) -> dict[str, str]:
    try:
        weight_map: dict[str, str] = json.loads(path.read_text("utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is no index of a sharded checkpoint: {error!r}") from error
    missing = sorted({f for f in weight_map.values() if not (path.parent / f).exists()})
    if missing:
        raise ModelError(f"{path.parent} lacks {', '.join(missing)}, which {path.name} names")
    return weight_map
