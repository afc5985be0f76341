"""Tensors of a checkpoint folder by name: whole, or the part that one device holds.

    folder ─► one file, or several by index ─► mapped tensors
                                                 │ floats: as they are
                                                 ▼ quantized: by `formats`
                               an array, or small numbers with their scales

Nothing is read but what is asked for.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.scheme import NOT_QUANTIZED, Quantization, module_of
from radixloom_runtime.formats.stored import Region, Scheme, Source, StoredMatrix
from radixloom_runtime.formats.tensor_file import TensorFile
from radixloom_runtime.models.params import Stored
from radixloom_runtime.models.sharding import Place

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_FLOATS = ("bfloat16", "float16", "float32", "float64")

Stretches = tuple[tuple[slice, ...], ...]
"""Of each dimension; one of them may have several."""


class Checkpoint:
    """All tensors of a folder."""

    def __init__(self, folder: Path, quantization: Quantization = NOT_QUANTIZED) -> None:
        """Read the index. Raises: `ModelError`."""
        self._folder = folder
        self._quantization = quantization
        self._open: dict[Path, TensorFile] = {}
        self._file_of = self._find_files()

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors that the folder holds."""
        return tuple(self._file_of)

    def __contains__(self, name: str) -> bool:
        """Whether the folder holds a tensor of this name."""
        return name in self._file_of

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """Map one tensor as it is stored, which must have one of these shapes.

        Raises: `ModelError` if absent, unreadable or of another shape.
        """
        file = self._file_of.get(name)
        wanted = " or ".join(str(shape) for shape in shapes)
        if file is None:
            raise ModelError(f"{self._folder} holds no tensor {name}; wanted one of shape {wanted}")
        found = self._file(file).tensor(name)
        if found.shape not in shapes:
            raise ModelError(
                f"tensor {name} of {file}: wanted shape {wanted} by config.json,"
                f" found {found.shape}"
            )
        return found

    def floats(self, module: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Map a module's matrix [out, in] that is not quantized. Raises: `ModelError`."""
        return self.tensor(f"{module}.weight", shape)

    def whole(self, tensor: Stored) -> NDArray[Any]:
        """Read all of a tensor, in floats. Raises: `ModelError`."""
        return self._dense(tensor, tuple((slice(0, size),) for size in tensor.shape))

    def part(self, tensor: Stored, place: Place) -> NDArray[Any]:
        """Read what the device at `place` holds of a tensor, in floats. Raises: `ModelError`."""
        return self._dense(tensor, tensor.held(place))

    def small_part(self, tensor: Stored, place: Place) -> StoredMatrix:
        """Read what the device at `place` holds of a quantized matrix. Raises: `ModelError`."""
        scheme = self._quantization.kept(self._quantization.of(module_of(tensor.name)))
        if scheme is None:
            raise ModelError(f"{self._folder} does not hold {tensor.name} quantized")
        rows, (columns,) = tensor.held(place)
        parts = [self._region(scheme, tensor, stretch, columns) for stretch in rows]
        return _one_below_another(parts)

    def _dense(self, tensor: Stored, held: Stretches) -> NDArray[Any]:
        scheme = self._quantization.of(module_of(tensor.name)) if len(held) == 2 else None
        if scheme is None:
            return stretches(self._floats(tensor), held)
        blocks = [
            self._region(scheme, tensor, rows, columns).dense()
            for rows, columns in itertools.product(*held)
        ]
        return _joined(blocks, held)

    def _floats(self, tensor: Stored) -> NDArray[Any]:
        """Map a tensor that must be of plain floats: small numbers without scales mean nothing."""
        if tensor.is_one_of_all:
            num_out, num_in = tensor.shape
            found = self._source(tensor).floats(tensor.name, (num_out, num_in))
        else:
            found = self.tensor(tensor.name, tensor.shape)
        if found.dtype.name not in _FLOATS:
            raise ModelError(
                f"tensor {tensor.name} of {self._folder}: wanted {' or '.join(_FLOATS)}, found"
                f" {found.dtype}, and nothing in config.json or beside it says what that means"
            )
        return found

    def _source(self, tensor: Stored) -> Source:
        """Return where tensors of this one's module are found, each by itself."""
        if tensor.item is None or not tensor.is_one_of_all:
            return self
        axis, index = tensor.item
        return _OneOfAll(self, axis.count, index)

    def _region(self, scheme: Scheme, tensor: Stored, rows: slice, columns: slice) -> StoredMatrix:
        num_out, num_in = tensor.shape
        region = Region((num_out, num_in), rows, columns)
        return scheme.read(self._source(tensor), module_of(tensor.name), region)

    def _file(self, path: Path) -> TensorFile:
        if path not in self._open:
            self._open[path] = TensorFile(path)
        return self._open[path]

    def _find_files(self) -> dict[str, Path]:
        if (self._folder / INDEX).exists():
            return _read_index(self._folder / INDEX)
        single = self._folder / SINGLE
        if not single.exists():
            raise ModelError(
                f"{self._folder} holds neither {SINGLE} nor {INDEX}: its weights are missing"
            )
        return dict.fromkeys(self._file(single), single)

    def close(self) -> None:
        """Unmap all files."""
        self._open.clear()


@dataclass(frozen=True, slots=True)
class _OneOfAll:
    """One expert's tensors, out of such that hold those of all experts."""

    checkpoint: Checkpoint
    count: int
    index: int

    def __contains__(self, name: str) -> bool:
        return name in self.checkpoint

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        whole = self.checkpoint.tensor(name, *((self.count, *shape) for shape in shapes))
        return whole[self.index]

    def floats(self, module: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Map the matrix, which lies [in, out] in a tensor of the module's own name."""
        return self.tensor(module, shape[::-1]).T


def stretches(stored: NDArray[Any], held: Stretches) -> NDArray[Any]:
    """Cut stretches out of an array, and lay them end to end."""
    return _joined([stored[index] for index in itertools.product(*held)], held)


def _joined(blocks: Sequence[NDArray[Any]], held: Stretches) -> NDArray[Any]:
    if len(blocks) == 1:
        return blocks[0]
    (dim,) = (i for i, of_dim in enumerate(held) if len(of_dim) > 1)
    return np.concatenate(blocks, axis=dim)


def _one_below_another(parts: Sequence[StoredMatrix]) -> StoredMatrix:
    first = parts[0]
    offsets = [part.offsets for part in parts if part.offsets is not None]
    return StoredMatrix(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.scales for part in parts]),
        first.group_of_column,
        np.concatenate(offsets) if offsets else None,
    )


def _read_index(path: Path) -> dict[str, Path]:
    try:
        weight_map: dict[str, str] = json.loads(path.read_text("utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is no index of a sharded checkpoint: {error!r}") from error
    missing = sorted({f for f in weight_map.values() if not (path.parent / f).exists()})
    if missing:
        raise ModelError(f"{path.parent} lacks {', '.join(missing)}, which {path.name} names")
    return {name: path.parent / file for name, file in weight_map.items()}
