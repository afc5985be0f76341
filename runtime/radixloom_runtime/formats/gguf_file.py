"""A GGUF file, mapped: what it says of a model, and its tensors as they are stored.

    "GGUF" version | counts | metadata: key → value | tensors: name, sides, kind, offset | numbers

Nothing of what the tensors mean is here: `gguf_blocks` decodes them, `gguf_model` gives them the
names, order and configuration of a checkpoint. A model may be cut into several files, of which the
first has the metadata of all.
"""

import math
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_blocks import BLOCKS, BlockKind

Metadata = dict[str, Any]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9

_FLOATS = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    30: np.dtype(ml_dtypes.bfloat16),
}
"""Numbers by themselves, by the number of their kind."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies, and how."""

    name: str
    shape: tuple[int, ...]
    """Slowest first, as a checkpoint counts them; the file counts the other way."""
    kind: np.dtype[Any] | BlockKind
    file: NDArray[np.uint8]
    begin: int

    @property
    def is_blocks(self) -> bool:
        """Whether its rows are blocks of few bits."""
        return isinstance(self.kind, BlockKind)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, along the fastest side."""
        if isinstance(self.kind, BlockKind):
            return self.shape[-1] // self.kind.numbers * self.kind.num_bytes
        return self.shape[-1] * self.kind.itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape[:-1]) * self.row_bytes

    def mapped(self) -> NDArray[Any]:
        """Map it: floats in its shape, blocks as bytes [..., row_bytes]."""
        stored = self.file[self.begin : self.begin + self.num_bytes]
        if isinstance(self.kind, BlockKind):
            return stored.reshape(*self.shape[:-1], self.row_bytes)
        return stored.view(self.kind).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """A whole model."""

    path: Path
    """The first of its files."""
    metadata: Metadata
    tensors: dict[str, StoredTensor]


def find_gguf(path: Path) -> Path | None:
    """Find the GGUF that `path` means: the file itself, or the only model in a folder.

    A folder with safetensors in it is a checkpoint, whatever else it holds: None.
    Raises: `ModelError` where a folder holds several models.
    """
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    found = sorted(path.glob("*.gguf"))
    if not found or any(path.glob("*.safetensors")):
        return None
    models = {match["stem"] if (match := _SHARD.fullmatch(f.name)) else f.name for f in found}
    if len(models) > 1:
        names = ", ".join(file.name for file in found)
        raise ModelError(f"{path} holds several GGUF models ({names}); name one of these files")
    return found[0]


def open_gguf(path: Path) -> GGUFFile:
    """Read the headers of a model's files. Raises: `ModelError`."""
    parts = [_open_one(file) for file in _files_of(path)]
    wanted = parts[0].metadata.get("split.count", 1) or 1
    if wanted != len(parts):
        raise ModelError(
            f"{path} is one of {wanted} files of a model; wanted them under the names that they"
            " were published by (...-00001-of-00002.gguf), and the first as --model"
        )
    tensors: dict[str, StoredTensor] = {}
    for part in parts:
        tensors |= part.tensors
    return replace(parts[0], tensors=tensors)


def _files_of(path: Path) -> list[Path]:
    """List a model's files, of which `path` is one."""
    match = _SHARD.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    names = [f"{match['stem']}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(f"{path.parent} lacks {', '.join(missing)}, part of {path.name}'s model")
    return [path.parent / name for name in names]


def _open_one(path: Path) -> GGUFFile:
    try:
        file: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no readable GGUF file: {error}") from error
    header = _Header(file.data)
    try:
        num_tensors, metadata = _read_metadata(header)
        entries = [_read_entry(header) for _ in range(num_tensors)]
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path} is no readable GGUF file: its header breaks off or makes no sense at byte"
            f" {header.at} of {len(file)} ({error}); fetch it again"
        ) from error
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    first = -(-header.at // alignment) * alignment
    tensors = {
        name: _placed(path, StoredTensor(name, shape, _kind(path, name, kind), file, first + begin))
        for name, shape, kind, begin in entries
    }
    return GGUFFile(path, metadata, tensors)


def _kind(path: Path, name: str, number: int) -> np.dtype[Any] | BlockKind:
    kind = _FLOATS.get(number) or BLOCKS.get(number)
    if kind is None:
        supported = [*(float_.name for float_ in _FLOATS.values()), *map(str, BLOCKS.values())]
        raise ModelError(
            f"tensor {name} of {path}: numbers of kind {number} are not supported; supported:"
            f" {', '.join(supported)}. Take the model in one of these"
        )
    return kind


def _placed(path: Path, tensor: StoredTensor) -> StoredTensor:
    """Check that the file holds all of a tensor."""
    if isinstance(tensor.kind, BlockKind) and tensor.shape[-1] % tensor.kind.numbers:
        raise ModelError(
            f"tensor {tensor.name} of {path}: {tensor.kind} wants rows of whole blocks of"
            f" {tensor.kind.numbers} numbers, found shape {tensor.shape}; the file is broken"
        )
    end, size = tensor.begin + tensor.num_bytes, len(tensor.file)
    if end > size:
        raise ModelError(
            f"tensor {tensor.name} of {path}: wanted shape {tensor.shape} up to byte {end}, but the"
            f" file ends after {size}; it is cut off, fetch it again"
        )
    return tensor


class _Header:
    """Reads one value after another."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.at = 0

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._view, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self) -> str:
        length = self.scalar("<Q")
        found = bytes(self._view[self.at : self.at + length])
        if len(found) < length:
            raise ValueError(f"a text of {length} bytes")
        self.at += length
        return found.decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        of, count = self.scalar("<I"), self.scalar("<Q")
        if of in (_STRING, _ARRAY):
            return [self.value(of) for _ in range(count)]
        form = f"<{count}{_SCALARS[of][1:]}"
        values = struct.unpack_from(form, self._view, self.at)
        self.at += struct.calcsize(form)
        return list(values)


def _read_metadata(header: _Header) -> tuple[int, Metadata]:
    """Return how many tensors there are, and what is said of the model."""
    magic = bytes(header.scalar("<4s"))
    if magic != _MAGIC:
        raise ValueError(f"it begins with {magic!r}, wanted {_MAGIC!r}")
    version = header.scalar("<I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}, supported: {_VERSIONS}")
    num_tensors, num_values = header.scalar("<Q"), header.scalar("<Q")
    metadata: Metadata = {}
    for _ in range(num_values):
        key = header.string()
        metadata[key] = header.value(header.scalar("<I"))
    return num_tensors, metadata


def _read_entry(header: _Header) -> tuple[str, tuple[int, ...], int, int]:
    """Return a tensor's name, shape, kind, and where it begins among the numbers."""
    name = header.string()
    sides = [header.scalar("<Q") for _ in range(header.scalar("<I"))]
    return name, tuple(reversed(sides)), header.scalar("<I"), header.scalar("<Q")
