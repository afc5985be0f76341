"""The mesh of devices: which of them, and how arrays lie on it.

    settings, devices ─► MeshShape(data, expert, tensor) ─► Mesh ─► NamedSharding of each array

One program runs on every device of the mesh (`shard_map` in `runner.programs`); along axes of one
device nothing is cut and nobody is asked.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.params import ParamSpec
from radixloom_runtime.models.registry import Model
from radixloom_runtime.models.sharding import MESH_AXES, RULES, MeshShape, Place
from radixloom_runtime.settings import RuntimeSettings


def use_cpu_devices(count: int | None) -> None:
    """Cut the CPU into several devices, for development. Raises: `ConfigurationError`."""
    if count is None:
        return
    config: Any = jax.config  # its attributes come at run time
    if config.jax_num_cpu_devices != count:
        config.update("jax_num_cpu_devices", count)
    platform = jax.devices()[0].platform
    if platform != "cpu":
        raise ConfigurationError(
            f"cpu_devices {count} is for a CPU, found a {platform}; leave it out, or set"
            " JAX_PLATFORMS=cpu"
        )


def possible_shapes(settings: RuntimeSettings, devices: Sequence[Any]) -> Iterator[MeshShape]:
    """Yield what may be tried: just what the settings say, or from most devices to fewest.

    A CPU is cut only where that was asked for: its devices share the same cores. Several hosts are
    asked for by that: no device of theirs can stay out.
    Raises: `ConfigurationError`.
    """
    data, expert, wanted = (
        settings.data_parallel,
        settings.expert_parallel,
        settings.tensor_parallel,
    )
    if wanted is None and settings.num_hosts > 1:
        wanted = len(devices) // data
    on_one = devices[0].platform == "cpu" and settings.cpu_devices is None
    most = expert if on_one else len(devices) // data
    spans = [wanted] if wanted else [n for n in range(most, 0, -1) if n % expert == 0]
    for span in spans or [expert]:
        shape = MeshShape(data, expert, span // expert)
        if shape.num_devices > len(devices):
            raise ConfigurationError(_too_few(shape, devices))
        yield shape


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """Arrange devices (default: all of this machine's), so that neighbours are near each other."""
    found = list(jax.devices() if devices is None else devices)
    if shape.num_devices > len(found):
        raise ConfigurationError(_too_few(shape, found))
    used = found[: shape.num_devices]
    if used[0].platform == "tpu" and len(used) == len(found):
        return Mesh(mesh_utils.create_device_mesh(shape.sizes, used), MESH_AXES)
    return Mesh(np.array(used, object).reshape(shape.sizes), MESH_AXES)


def shape_of(mesh: Mesh) -> MeshShape:
    """Return how many devices lie along each axis."""
    return MeshShape(*(mesh.shape[axis] for axis in MESH_AXES))


def local_places(mesh: Mesh) -> list[tuple[Any, Place]]:
    """Return the devices of this process, and where each stands."""
    shape, this = shape_of(mesh), jax.process_index()
    placed = [
        (device, Place(shape, (index[0], index[1], index[2])))
        for index, device in np.ndenumerate(mesh.devices)
    ]
    return [(device, place) for device, place in placed if device.process_index == this]


def replicated(mesh: Mesh) -> NamedSharding:
    """Place an array whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def weight_sharding(mesh: Mesh, spec: ParamSpec) -> NamedSharding:
    """Place a weight by the rules of its axes."""
    return NamedSharding(mesh, PartitionSpec(*(axes or None for axes in spec.mesh_axes)))


def pool_sharding(mesh: Mesh, model: Model) -> NamedSharding:
    """Place the KV pool [G, S, heads ...]; a latent is whole on each device of a group."""
    return of_groups(mesh, 0, heads=None if model.kv_parts == 1 else 2)


def of_groups(mesh: Mesh, axis: int, *, heads: int | None = None) -> NamedSharding:
    """Place an array with all groups' parts end to end along `axis`; `heads` is cut by heads."""
    axes: dict[int | None, tuple[str, ...]] = {axis: RULES["groups"].mesh_axes}
    if heads is not None:
        axes[heads] = RULES["heads"].mesh_axes
    last = max(axis, heads or 0)
    return NamedSharding(mesh, PartitionSpec(*(axes.get(index) for index in range(last + 1))))


def cut_by_tokens(mesh: Mesh) -> NamedSharding:
    """Place an array [rows of all groups, vocabulary] as the logits lie."""
    return NamedSharding(mesh, PartitionSpec(RULES["groups"].mesh_axes, RULES["vocab"].mesh_axes))


def _too_few(shape: MeshShape, devices: Sequence[Any]) -> str:
    span = shape.expert * shape.tensor
    hint = "; --cpu-devices makes more of a CPU" if devices[0].platform == "cpu" else ""
    return (
        f"data_parallel {shape.data} x tensor_parallel {span} wants {shape.num_devices} devices,"
        f" found {len(devices)} {devices[0].platform}; lower one of them{hint}"
    )
