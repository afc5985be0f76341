"""Checksums against values that other tools computed."""

from pathlib import Path

import pytest

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checksums

# printf 'hello\n' | sha256sum, md5sum, git hash-object --stdin; CRC-32C by google-crc32c
KNOWN = [
    "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    "md5:b1946ac92492d2347c6235b4d2611184",
    "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a",
    "crc32c:353dd8be",
]


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello"
    path.write_text("hello\n")
    return path


@pytest.mark.parametrize("checksum", KNOWN)
def test_each_algorithm_gives_the_known_value(hello: Path, checksum: str):
    assert checksums.checksum_of(hello, checksum.partition(":")[0]) == checksum
    assert checksums.matches(hello, checksum)


@pytest.mark.parametrize("checksum", KNOWN)
def test_one_changed_byte_is_noticed(hello: Path, checksum: str):
    hello.write_text("hellp\n")
    assert not checksums.matches(hello, checksum)


def test_an_unknown_algorithm_is_refused(hello: Path):
    with pytest.raises(FetchError, match="sha256, git-sha1, md5, crc32c"):
        checksums.checksum_of(hello, "md4")


def test_blocks_begin_where_asked(hello: Path):
    assert b"".join(checksums.blocks(hello, 4)) == b"o\n"
