"""Tensors of a checkpoint by name: whole, or the part that one device holds.

    folder ─► one file, or several by index ─┐
    GGUF ───────────────────────────────────┴► mapped tensors
                                                 │ floats: as they are
                                                 ▼ others: by `formats`
                               an array, or small numbers with their scales

Nothing is read but what is asked for.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.formats.gguf_model import GGUFModel
from radixloom_runtime.formats.scheme import NOT_QUANTIZED, Quantization, module_of
from radixloom_runtime.formats.shards import Shards
from radixloom_runtime.formats.stored import Region, Source, StoredMatrix, Tensors
from radixloom_runtime.models.params import Stored
from radixloom_runtime.models.sharding import Place

_FLOATS = ("bfloat16", "float16", "float32", "float64")

Stretches = tuple[tuple[slice, ...], ...]
"""Of each dimension; one of them may have several."""


class Checkpoint:
    """All tensors of a folder, or of a GGUF."""

    def __init__(self, path: Path, quantization: Quantization = NOT_QUANTIZED) -> None:
        """Read index or header. Raises: `ModelError`."""
        self._path = path
        self._quantization = quantization
        self._tensors = open_tensors(path)

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors that there are."""
        return tuple(self._tensors)

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """Map one tensor as it is stored, which must have one of these shapes.

        Raises: `ModelError`.
        """
        return self._tensors.tensor(name, *shapes)

    def whole(self, tensor: Stored) -> NDArray[Any]:
        """Read all of a tensor, in floats. Raises: `ModelError`."""
        return self._dense(tensor, tuple((slice(0, size),) for size in tensor.shape))

    def part(self, tensor: Stored, place: Place) -> NDArray[Any]:
        """Read what the device at `place` holds of a tensor, in floats. Raises: `ModelError`."""
        return self._dense(tensor, tensor.held(place))

    def is_plain(self, tensor: Stored) -> bool:
        """Whether a tensor is stored in floats, as far as the configuration tells."""
        return len(tensor.shape) != 2 or self._quantization.of(module_of(tensor.name)) is None

    def check(self, tensor: Stored) -> None:
        """Refuse a plain tensor that is absent, or of another shape. Raises: `ModelError`."""
        self._floats(tensor)

    def small_part(self, tensor: Stored, place: Place) -> StoredMatrix:
        """Read what the device at `place` holds of a quantized matrix. Raises: `ModelError`."""
        scheme = self._quantization.kept(self._quantization.of(module_of(tensor.name)))
        if scheme is None:
            raise ModelError(f"{self._path} does not hold {tensor.name} quantized")
        rows, (columns,) = tensor.held(place)
        module = module_of(tensor.name)
        parts = [
            scheme.read(self._source(tensor), module, _region(tensor, stretch, columns))
            for stretch in rows
        ]
        return _one_below_another(parts)

    def _dense(self, tensor: Stored, held: Stretches) -> NDArray[Any]:
        scheme = self._quantization.of(module_of(tensor.name)) if len(held) == 2 else None
        if scheme is None:
            return stretches(self._floats(tensor), held)
        blocks = [
            scheme.dense(
                self._source(tensor), module_of(tensor.name), _region(tensor, rows, columns)
            )
            for rows, columns in itertools.product(*held)
        ]
        return _joined(blocks, held)

    def _floats(self, tensor: Stored) -> NDArray[Any]:
        """Map a tensor that must be of plain floats: small numbers without scales mean nothing."""
        if tensor.is_one_of_all:
            num_out, num_in = tensor.shape
            found = self._source(tensor).floats(tensor.name, (num_out, num_in))
        else:
            found = self._tensors.tensor(tensor.name, tensor.shape)
        if found.dtype.name not in _FLOATS:
            raise ModelError(
                f"tensor {tensor.name} of {self._path}: wanted {' or '.join(_FLOATS)}, found"
                f" {found.dtype}, and nothing in config.json or beside it says what that means"
            )
        return found

    def _source(self, tensor: Stored) -> Source:
        """Return where tensors of this one's module are found, each by itself."""
        if tensor.item is None or not tensor.is_one_of_all:
            return self._tensors
        axis, index = tensor.item
        return _OneOfAll(self._tensors, axis.count, index)


def open_tensors(path: Path) -> Tensors:
    """Open a checkpoint's folder, or a GGUF. Raises: `ModelError`."""
    gguf = find_gguf(path)
    return Shards(path) if gguf is None else GGUFModel(open_gguf(gguf))


def _region(tensor: Stored, rows: slice, columns: slice) -> Region:
    num_out, num_in = tensor.shape
    return Region((num_out, num_in), rows, columns)


@dataclass(frozen=True, slots=True)
class _OneOfAll:
    """One expert's tensors, out of such that hold those of all experts."""

    tensors: Source
    count: int
    index: int

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        whole = self.tensors.tensor(name, *((self.count, *shape) for shape in shapes))
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
