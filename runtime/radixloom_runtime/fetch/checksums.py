"""Checksums as the sources give them, and their check against a file on disk.

Written `algorithm:hex`. `git-sha1` is how git (and so a model hub, for small files) names content:
SHA-1 over a header with the length, then the content.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from radixloom_runtime.errors import FetchError

BLOCK_BYTES = 4 * 1024 * 1024


class Hasher(Protocol):
    """What hashlib's objects and the crc32c one have in common."""

    def update(self, data: bytes, /) -> None:
        """Take in more content."""
        ...

    def hexdigest(self) -> str:
        """Give the digest of all content so far."""
        ...


def checksum_of(path: Path, algorithm: str = "sha256") -> str:
    """Compute the checksum of a file: `checksum_of(path)` is like `sha256:ab12…`."""
    hasher = _new_hasher(algorithm, path.stat().st_size)
    for block in blocks(path):
        hasher.update(block)
    return f"{algorithm}:{hasher.hexdigest()}"


def matches(path: Path, checksum: str) -> bool:
    """Whether the file's content has this checksum."""
    return checksum_of(path, checksum.partition(":")[0]) == checksum


def blocks(path: Path, offset: int = 0) -> Iterator[bytes]:
    """Read a file from `offset` on, block by block."""
    with path.open("rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK_BYTES):
            yield block


def _new_hasher(algorithm: str, num_bytes: int) -> Hasher:
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "git-sha1":
        header = b"blob %d\0" % num_bytes
        return hashlib.sha1(header, usedforsecurity=False)
    if algorithm == "md5":
        return hashlib.md5(usedforsecurity=False)
    if algorithm == "crc32c":
        return _Crc32c()
    raise FetchError(
        f"unknown checksum algorithm {algorithm!r}; known: sha256, git-sha1, md5, crc32c"
    )


class _Crc32c:
    """Google's CRC-32C, which alone is there for objects that were composed of parts."""

    def __init__(self) -> None:
        from google_crc32c import Checksum  # comes with gcsfs

        self._checksum = Checksum()

    def update(self, data: bytes, /) -> None:
        self._checksum.update(data)

    def hexdigest(self) -> str:
        return self._checksum.digest().hex()
