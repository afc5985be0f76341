"""A safetensors file, mapped: nothing is read before it is looked at, and only that.

    8 bytes: length of the header | header, JSON: name → dtype, shape, offsets | the numbers

Not the library's own reader: that one gives numpy no 8-bit floats.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError

_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "F32": np.dtype(np.float32),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
    "F64": np.dtype(np.float64),
}


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile:
    """Tensors of one file by name."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises: `ModelError`."""
        self.path = path
        try:
            self._bytes: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
            self._entries, self._begin = _read_header(self._bytes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is no readable safetensors file: {error}") from error

    def __iter__(self) -> Iterator[str]:
        """Names of all tensors."""
        return iter(self._entries)

    def tensor(self, name: str) -> NDArray[Any]:
        """Map one tensor. Raises: `ModelError` if the file does not hold all of it."""
        entry = self._entries[name]
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            known = ", ".join(sorted(_DTYPES))
            raise ModelError(
                f"tensor {name} of {self.path}: numbers of kind {entry.dtype} are not supported;"
                f" supported: {known}"
            )
        wanted, found = math.prod(entry.shape) * dtype.itemsize, entry.end - entry.begin
        if wanted != found:
            raise ModelError(
                f"tensor {name} of {self.path}: shape {entry.shape} of {entry.dtype} wants {wanted}"
                f" bytes, the header gives it {found}; the file is broken, fetch it again"
            )
        end = self._begin + entry.end
        if end > len(self._bytes):
            raise ModelError(
                f"tensor {name} of {self.path}: wanted shape {entry.shape} up to byte {end}, but"
                f" the file ends after {len(self._bytes)}; it is cut off, fetch it again"
            )
        return self._bytes[self._begin + entry.begin : end].view(dtype).reshape(entry.shape)


def _read_header(file: NDArray[np.uint8]) -> tuple[dict[str, _Entry], int]:
    """Return the entries, and where the numbers begin."""
    length = int.from_bytes(file[:_LENGTH_BYTES].tobytes(), "little")
    begin = _LENGTH_BYTES + length
    if not 2 <= length <= _MOST_HEADER_BYTES or begin > len(file):
        raise ValueError(f"a header of {length} bytes in a file of {len(file)}")
    header: Any = json.loads(file[_LENGTH_BYTES:begin].tobytes())
    if not isinstance(header, dict):
        raise TypeError(f"its header is a {type(header).__name__}, no JSON object")
    named = {str(name): info for name, info in header.items() if name != "__metadata__"}
    return {name: _entry(name, info) for name, info in named.items()}, begin


def _entry(name: str, info: Mapping[str, Any]) -> _Entry:
    shape, (begin, end) = tuple(info["shape"]), info["data_offsets"]
    sizes = (*shape, begin, end)
    if not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise ValueError(f"tensor {name} has shape {shape} from byte {begin!r} to {end!r}")
    return _Entry(str(info["dtype"]), shape, begin, end)
