"""From an adapter's folder into a slot of the room that a model has for adapters.

Everything is checked before anything is written, and no running request has the slot: so what is
refused changes nothing. The arrays keep their shapes, so nothing is compiled; `warm` compiles what
writes them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.peft import LowRankPair, PeftAdapter, read_adapter
from radixloom_runtime.formats.scheme import module_of
from radixloom_runtime.models.adapters import AdapterRoom
from radixloom_runtime.models.params import ParamSpec, Stored
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.models.sharding import Place
from radixloom_runtime.runner.checkpoint import stretches
from radixloom_runtime.runner.weights import put_parts

_MOST_NAMED = 4


def load_adapter(weights: Weights, model: Model, mesh: Mesh, folder: Path, slot: int) -> Weights:
    """Return weights with an adapter in `slot`; the arrays of the room for adapters are given up.

    Raises: `ModelError` with everything as before.
    """
    adapter = read_adapter(folder)
    _check(adapter, model)
    return _written(weights, model, mesh, slot, partial(_stored_part, adapter))


def warm(weights: Weights, model: Model, mesh: Mesh) -> Weights:
    """Write an adapter that changes nothing, which compiles what writes one."""

    def nothing(tensor: Stored, place: Place) -> NDArray[np.float32]:
        return stretches(np.zeros(tensor.shape, np.float32), tensor.held(place))

    return _written(weights, model, mesh, 1, nothing)


def _written(
    weights: Weights,
    model: Model,
    mesh: Mesh,
    slot: int,
    read: Callable[[Stored, Place], NDArray[np.float32]],
) -> Weights:
    def parts(spec: ParamSpec, place: Place) -> list[NDArray[Any]]:
        made = spec.transform([read(tensor, place) for tensor in spec.stored])
        return [np.ascontiguousarray(made, model.dtype)]

    changed = list(weights)
    for index, spec in enumerate(model.specs):
        if not spec.is_adapter:
            continue
        for layer, each in enumerate(spec.parts()):
            one = each.of_one_adapter()
            (array,) = put_parts(one, mesh, model.dtype, partial(parts, one))
            at = (layer, slot - 1) if spec.layers else (slot - 1,)
            changed[index] = _set(changed[index], array, tuple(map(np.int32, at)))
    return tuple(changed)


@partial(jax.jit, donate_argnums=0)
def _set(
    room: Float[Array, "..."], array: Float[Array, "..."], at: tuple[Int[Array, ""], ...]
) -> Float[Array, "..."]:
    return room.at[at].set(array)


def _stored_part(adapter: PeftAdapter, tensor: Stored, place: Place) -> NDArray[np.float32]:
    """Read a device's part of one half of a pair, filled up to the room's rank."""
    whole = np.zeros(tensor.shape, np.float32)
    pair = adapter.pairs.get(_module_of(tensor))
    if pair is not None:
        if _is_down(tensor):
            whole[: adapter.rank] = pair.down
        else:
            whole[:, : adapter.rank] = np.asarray(pair.up, np.float32) * adapter.scale
    return stretches(whole, tensor.held(place))


def _check(adapter: PeftAdapter, model: Model) -> None:
    """Refuse an adapter for which there is no place. Raises: `ModelError`."""
    room = model.room or AdapterRoom(0, 0)
    if adapter.rank > room.rank:
        raise ModelError(
            f"{adapter.folder} has rank {adapter.rank}, but there is room for rank {room.rank};"
            " start with a larger --max-lora-rank"
        )
    known = _modules(model)
    unknown = sorted(set(adapter.pairs) - set(known))
    if unknown:
        raise ModelError(
            f"{adapter.folder} changes {_some(unknown)}, which adapters cannot change here; they"
            f" can change {_some(sorted({name.rpartition('.')[2] for name in known}))}"
        )
    for name, pair in adapter.pairs.items():
        if _sizes(pair) != known[name]:
            raise ModelError(
                f"{adapter.folder} is of another model: {name} has (in, out) {known[name]} here"
                f" and {_sizes(pair)} there"
            )
        if not _is_finite(pair, adapter.scale, model.dtype):
            raise ModelError(
                f"{adapter.folder}: {name} has numbers that are not finite in"
                f" {np.dtype(model.dtype)}; they would spoil the answers of all requests in a batch"
                " with it, so train or convert it anew"
            )


def _is_finite(pair: LowRankPair, scale: float, dtype: np.dtype[Any]) -> bool:
    """Whether both halves are, as they are kept: 0 times infinity is no 0 for other requests."""
    with np.errstate(over="ignore", invalid="ignore"):
        up = (np.asarray(pair.up, np.float32) * scale).astype(dtype)
        return bool(np.isfinite(up).all() and np.isfinite(pair.down.astype(dtype)).all())


def _modules(model: Model) -> dict[str, tuple[int, int]]:
    """Return inputs and outputs of every module that an adapter can change, by its name."""
    stored = [
        tensor
        for spec in model.specs
        if spec.is_adapter
        for part in spec.parts()
        for tensor in part.stored
    ]
    ins = {_module_of(each): each.shape[1] for each in stored if _is_down(each)}
    return {_module_of(e): (ins[_module_of(e)], e.shape[0]) for e in stored if not _is_down(e)}


def _sizes(pair: LowRankPair) -> tuple[int, int]:
    return pair.down.shape[1], pair.up.shape[0]


def _module_of(tensor: Stored) -> str:
    return module_of(tensor.name).rpartition(".lora_")[0]


def _is_down(tensor: Stored) -> bool:
    return tensor.name.endswith("lora_A.weight")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
