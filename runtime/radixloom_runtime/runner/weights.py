"""From a checkpoint's safetensors to arrays on the device, one weight at a time.

Beside the weights themselves, memory holds one weight's stored tensors (files are mapped, not
read), so a model loads in little more than its own size.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.params import ParamSpec
from radixloom_runtime.models.registry import Model, Weights

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"

BytesProgress = Callable[[int], None]
"""Called with the bytes done, as stored on the device; `Model.num_bytes` in all."""


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
        """Map one tensor. Raises: `ModelError` if absent, unreadable or of another shape."""
        file = self._file_of.get(name)
        if file is None:
            raise ModelError(f"{self._folder} holds no tensor {name}; wanted one of shape {shape}")
        try:
            found = self._handle(file).get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"tensor {name} of {self._folder / file}: {error}") from error
        if found.shape != shape:
            raise ModelError(
                f"tensor {name} of {self._folder / file}: wanted shape {shape} by config.json,"
                f" found {found.shape}"
            )
        return found

    def _handle(self, file: str) -> Any:
        if file not in self._open:
            opened = safe_open(self._folder / file, framework="numpy")
            self._open[file] = self._stack.enter_context(opened)
        return self._open[file]

    def close(self) -> None:
        """Unmap all files."""
        self._stack.close()


def load_weights(folder: Path, model: Model, progress: BytesProgress) -> Weights:
    """Load every weight of `model` in the order of its rows. Raises: `ModelError`."""
    checkpoint = Checkpoint(folder)
    done = 0
    weights: list[jax.Array] = []
    try:
        for spec in model.specs:
            array = _load(checkpoint, spec, spec.dtype_in(model.dtype))
            weights.append(array)
            done += array.nbytes
            progress(done)
    finally:
        checkpoint.close()
    return tuple(weights)


def random_weights(model: Model, seed: int) -> Weights:
    """Make small weights for tests and benchmarks without a checkpoint."""
    generator = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(generator.normal(size=spec.shape, scale=0.02), spec.dtype_in(model.dtype))
        for spec in model.specs
    )


def _load(checkpoint: Checkpoint, spec: ParamSpec, dtype: jnp.dtype) -> jax.Array:
    if not spec.layers:
        return jax.device_put(_transformed(checkpoint, spec, dtype))
    stacked = np.empty(spec.shape, dtype)
    for index, part in enumerate(spec.parts()):
        stacked[index] = _transformed(checkpoint, part, dtype)
    return jax.device_put(stacked)


def _transformed(checkpoint: Checkpoint, spec: ParamSpec, dtype: jnp.dtype) -> NDArray[Any]:
    named = zip(spec.checkpoint, spec.stored_shapes, strict=True)
    stored = [checkpoint.tensor(name, shape) for name, shape in named]
    return np.ascontiguousarray(spec.transform(stored), dtype)


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
