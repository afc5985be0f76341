"""GGUF's blocks: each row of a matrix [out, in] is cut into blocks of 32 or 256 small numbers.

    Q4_0  d                q - 8        32 numbers of 4 bits   a scale for all of a block
    Q4_1  d, m             q            32            4        and a least number
    Q5_0  d                q - 16       32            5
    Q5_1  d, m             q            32            5
    Q8_0  d                q            32            8
    Q4_K  d, dmin, 8 x 6   q           256            4        scales for 32 each: 6 bits times d;
    Q5_K  d, dmin, 8 x 6   q           256            5        least numbers: 6 bits times dmin
    Q6_K  d, 16 x 8        q - 32      256            6        scales for 16 each: 8 bits times d

    matrix[o, i] = scale[o, group of i] * q[o, i] + least[o, group of i]

Source: ggml's definitions of these blocks (ggml-common.h). Numbers of 4 bits lie low half first:
the low nibbles of a run of bytes are its first numbers, the high ones the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.stored import Form, Region, Scheme, Source, StoredMatrix

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What blocks hold."""

    values: NDArray[np.int8]
    """[blocks, numbers]"""
    scales: Floats
    """[blocks, groups]"""
    least: Floats | None = None
    """[blocks, groups]"""


@dataclass(frozen=True, slots=True)
class BlockKind:
    """One of GGUF's kinds."""

    name: str
    numbers: int
    """In a block."""
    num_bytes: int
    """Of a block."""
    group: int
    """Numbers that share a scale."""
    bits: int
    has_least: bool
    unpack: Callable[[Bytes], Numbers]
    """Takes blocks [blocks, num_bytes]."""

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def form(self) -> Form:
        """How a matrix of such blocks can be kept: four bits stay four."""
        dtype = "int4" if self.bits == 4 else "int8"
        return Form(dtype, self.group, has_offsets=self.has_least)


@dataclass(frozen=True, slots=True)
class Blocks(Scheme):
    """A matrix of such blocks; `Source` has its rows as bytes."""

    kind: BlockKind
    shape: tuple[int, int]
    head_rows: int | None = None
    """Rows of a head, if the file pairs rotary numbers as neighbours (`checkpoint_rows`)."""

    @property
    @override
    def form(self) -> Form:
        return self.kind.form

    @property
    @override
    def marker(self) -> str:
        return "weight"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        stored = self._stored(source, module, region)
        if self.kind.bits != 4:
            return stored
        values, scales, offsets = stored.values, stored.scales, stored.offsets
        if offsets is not None:  # what is kept has a sign: 0 ... 15 become -8 ... 7
            values, offsets = values - np.int8(8), offsets + 8 * scales
        return StoredMatrix(values.astype(ml_dtypes.int4), scales, stored.group_of_column, offsets)

    @override
    def dense(self, source: Source, module: str, region: Region) -> Floats:
        # Of the numbers as they are stored: one rounding, as everyone else who reads the file.
        return self._stored(source, module, region).dense()

    def _stored(self, source: Source, module: str, region: Region) -> StoredMatrix:
        if region.shape != self.shape:
            raise ModelError(
                f"tensor {module}.weight: wanted shape {region.shape} by the configuration, found"
                f" {self.shape} in {self.kind}"
            )
        kind = self.kind
        first, last = region.columns.start // kind.numbers, -(-region.columns.stop // kind.numbers)
        row_bytes = self.shape[1] // kind.numbers * kind.num_bytes
        rows = checkpoint_rows(region.rows, self.head_rows)
        taken = source.tensor(f"{module}.weight", (self.shape[0], row_bytes))[
            rows, first * kind.num_bytes : last * kind.num_bytes
        ]
        numbers = kind.unpack(np.ascontiguousarray(taken).reshape(-1, kind.num_bytes))
        columns = slice(
            region.columns.start - first * kind.numbers, region.columns.stop - first * kind.numbers
        )
        return _laid_out(numbers, kind, len(taken), columns)


@dataclass(frozen=True, slots=True)
class PairedRows(Scheme):
    """A matrix of floats whose heads' rows are in GGUF's order; not quantized, so never kept so."""

    head_rows: int

    @property
    @override
    def form(self) -> None:
        return None

    @property
    @override
    def marker(self) -> str:
        return "weight"

    @property
    @override
    def is_quantized(self) -> bool:
        return False

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        raise AssertionError(f"{module} has no small numbers")

    @override
    def dense(self, source: Source, module: str, region: Region) -> Floats:
        rows = checkpoint_rows(region.rows, self.head_rows)
        stored = source.tensor(f"{module}.weight", region.shape)
        return stored[rows, region.columns].astype(np.float32)


def checkpoint_rows(rows: slice, head_rows: int | None) -> slice | NDArray[np.int64]:
    """Return where the file has these rows of a checkpoint's matrix.

    llama.cpp turns neighbours (0, 1), (2, 3), ...; a checkpoint's model turns each number of a
    head's first half with one of the second. So for its files the rows of q and k are reordered.
    """
    if head_rows is None:
        return rows
    wanted = np.arange(rows.start, rows.stop)
    head, inside = np.divmod(wanted, head_rows)
    half, pair = np.divmod(inside, head_rows // 2)
    return head * head_rows + 2 * pair + half


def _laid_out(numbers: Numbers, kind: BlockKind, num_rows: int, columns: slice) -> StoredMatrix:
    """Lay blocks end to end in rows, and keep some columns with the groups that these touch."""
    group_of_column = np.arange(columns.start, columns.stop) // kind.group
    first, last = columns.start // kind.group, -(-columns.stop // kind.group)
    least = numbers.least
    return StoredMatrix(
        numbers.values.reshape(num_rows, -1)[:, columns],
        numbers.scales.reshape(num_rows, -1)[:, first:last],
        group_of_column - first,
        None if least is None else least.reshape(num_rows, -1)[:, first:last],
    )


def _halves(blocks: Bytes) -> Floats:
    """Read pairs of bytes as half floats."""
    return np.ascontiguousarray(blocks).view(np.float16).astype(np.float32)


def _nibbles(packed: Bytes, run: int) -> Bytes:
    """Take apart bytes of two numbers; each run of bytes is its low halves, then its high ones."""
    runs = packed.reshape(len(packed), -1, 1, run)
    return np.bitwise_and(runs >> np.array([[0], [4]], np.uint8), 15).reshape(len(packed), -1)


def _bits_of_32(packed: Bytes) -> Bytes:
    """Take apart four bytes: bit i belongs to number i."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _q4_0(blocks: Bytes) -> Numbers:
    return Numbers(_nibbles(blocks[:, 2:], 16).astype(np.int8) - np.int8(8), _halves(blocks[:, :2]))


def _q4_1(blocks: Bytes) -> Numbers:
    values = _nibbles(blocks[:, 4:], 16).astype(np.int8)
    return Numbers(values, _halves(blocks[:, :2]), _halves(blocks[:, 2:4]))


def _q5_0(blocks: Bytes) -> Numbers:
    values = _nibbles(blocks[:, 6:], 16) | (_bits_of_32(blocks[:, 2:6]) << 4)
    return Numbers(values.astype(np.int8) - np.int8(16), _halves(blocks[:, :2]))


def _q5_1(blocks: Bytes) -> Numbers:
    values = _nibbles(blocks[:, 8:], 16) | (_bits_of_32(blocks[:, 4:8]) << 4)
    return Numbers(values.astype(np.int8), _halves(blocks[:, :2]), _halves(blocks[:, 2:4]))


def _q8_0(blocks: Bytes) -> Numbers:
    return Numbers(blocks[:, 2:].view(np.int8), _halves(blocks[:, :2]))


def _scales_and_least(blocks: Bytes) -> tuple[Floats, Floats]:
    """Read d, dmin and twelve bytes: eight scales and eight least numbers of six bits.

    byte  0 ... 3    scales 0-3, and in the two highest bits those of scales 4-7
          4 ... 7    least numbers, likewise
          8 ... 11   the four lowest bits of scales 4-7 (low) and of least numbers 4-7 (high)
    """
    first, second, low = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([first & 63, (low & 15) | ((first >> 6) << 4)], axis=1)
    least = np.concatenate([second & 63, (low >> 4) | ((second >> 6) << 4)], axis=1)
    return _halves(blocks[:, :2]) * scales, -(_halves(blocks[:, 2:4]) * least)


def _q4_k(blocks: Bytes) -> Numbers:
    values = _nibbles(blocks[:, 16:], 32).astype(np.int8)
    return Numbers(values, *_scales_and_least(blocks))


def _q5_k(blocks: Bytes) -> Numbers:
    bit = np.arange(8, dtype=np.uint8)[:, None]
    high = ((blocks[:, None, 16:48] >> bit) & 1).reshape(len(blocks), -1)
    values = _nibbles(blocks[:, 48:], 32) | (high << 4)
    return Numbers(values.astype(np.int8), *_scales_and_least(blocks))


def _q6_k(blocks: Bytes) -> Numbers:
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    pairs = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    high = ((pairs >> shifts) & 3).reshape(len(blocks), -1)
    values = (_nibbles(blocks[:, :128], 64) | (high << 4)).astype(np.int8) - np.int8(32)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return Numbers(values, _halves(blocks[:, 208:210]) * scales)


BLOCKS = {
    2: BlockKind("Q4_0", 32, 18, 32, 4, has_least=False, unpack=_q4_0),
    3: BlockKind("Q4_1", 32, 20, 32, 4, has_least=True, unpack=_q4_1),
    6: BlockKind("Q5_0", 32, 22, 32, 5, has_least=False, unpack=_q5_0),
    7: BlockKind("Q5_1", 32, 24, 32, 5, has_least=True, unpack=_q5_1),
    8: BlockKind("Q8_0", 32, 34, 32, 8, has_least=False, unpack=_q8_0),
    12: BlockKind("Q4_K", 256, 144, 32, 4, has_least=True, unpack=_q4_k),
    13: BlockKind("Q5_K", 256, 176, 32, 5, has_least=True, unpack=_q5_k),
    14: BlockKind("Q6_K", 256, 210, 16, 6, has_least=False, unpack=_q6_k),
}
"""By the number that the file gives the kind."""
