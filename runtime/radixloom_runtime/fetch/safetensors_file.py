"""The safetensors format, as far as a fetch needs it: write tensor by tensor, check a file's end.

    [8 bytes: length of header, little endian][header: JSON][tensors' bytes, end to end]

The library's own writer wants every tensor in memory at once and has no bfloat16 without torch;
its reader needs no help, and is what the tests read these files back with.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radixloom_runtime.errors import FetchError

LENGTH_BYTES = 8
ALIGNMENT = 8
LARGEST_HEADER_BYTES = 100_000_000
"""The library's own limit; a larger number is a broken or foreign file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor to be written; `dtype` in the format's own words, such as `BF16`."""

    name: str
    dtype: str
    shape: Sequence[int]
    num_bytes: int


def write(path: Path, entries: Sequence[Entry], contents: Iterable[bytes]) -> None:
    """Write tensors whose bytes come from `contents`, in the order of `entries`."""
    header = _header(entries)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(LENGTH_BYTES, "little"))
        file.write(header)
        for entry, content in zip(entries, contents, strict=True):
            if len(content) != entry.num_bytes:
                raise FetchError(
                    f"tensor {entry.name} should have {entry.num_bytes} bytes, has {len(content)}"
                )
            file.write(content)


def _header(entries: Sequence[Entry]) -> bytes:
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        described[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.num_bytes],
        }
        offset += entry.num_bytes
    header = json.dumps(described, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % ALIGNMENT)


def tensor_names(path: Path) -> frozenset[str]:
    """Name the tensors of a file, having checked that the file is as long as its header says.

    Raises: `FetchError` for a file that is cut short or is no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 0 < header_bytes <= min(size, LARGEST_HEADER_BYTES):
            raise FetchError(f"{path} is no safetensors file: its header claims {header_bytes} B")
        header = _parsed(path, file.read(header_bytes))
    header.pop("__metadata__", None)
    ends = [tensor["data_offsets"][1] for tensor in header.values()]
    wanted = LENGTH_BYTES + header_bytes + max(ends, default=0)
    if size != wanted:
        raise FetchError(f"{path} should have {wanted} bytes, has {size}: fetch it again")
    return frozenset(header)


def _parsed(path: Path, header: bytes) -> dict[str, Any]:
    try:
        return json.loads(header)
    except ValueError as error:
        raise FetchError(f"{path} is no safetensors file: {error}") from error
