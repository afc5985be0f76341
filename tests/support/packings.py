"""Writes matrices in the formats of quantized checkpoints, from each format's own definition.

Slow and plain on purpose (a word is put together number by number), and with nothing of the
decoders under test. Every packer takes numbers q [out, in], and gives a module's tensors by suffix.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)


@dataclass(frozen=True)
class Numbers:
    """Unsigned integers with their scales and zero points, and the matrix that they stand for."""

    q: np.ndarray
    scales: np.ndarray
    """[out, groups], float16 numbers."""
    zeros: np.ndarray
    """[out, groups], of the same range as q."""
    group_of_input: np.ndarray
    bits: int

    @property
    def matrix(self) -> np.ndarray:
        zeros, scales = (x[:, self.group_of_input] for x in (self.zeros, self.scales))
        return (self.q.astype(np.float64) - zeros) * scales.astype(np.float64)


def round_to_integers(
    matrix: np.ndarray, bits: int, group: int, *, symmetric: bool, order: np.ndarray | None = None
) -> Numbers:
    """Round groups of inputs to their own scale; `order` lists inputs as the groups take them."""
    num_in, most = matrix.shape[1], (1 << bits) - 1
    order = np.arange(num_in) if order is None else order
    group_of_input = np.empty(num_in, np.int32)
    group_of_input[order] = np.arange(num_in) // group
    num_groups = -(-num_in // group)
    scales = np.empty((len(matrix), num_groups), np.float16)
    zeros = np.full(scales.shape, 1 << (bits - 1), np.int32)
    for index in range(num_groups):
        part = matrix[:, group_of_input == index]
        low, high = np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)
        if symmetric:
            scales[:, index] = np.maximum(np.abs(part).max(axis=1) / (most // 2), 1e-4)
        else:
            scales[:, index] = np.maximum((high - low) / most, 1e-4)
            # 1 at least: the first GPTQ writes one less than the zero point
            zeros[:, index] = np.clip(np.rint(-low / scales[:, index]), 1, most)
    exact = matrix / scales[:, group_of_input] + zeros[:, group_of_input]
    q = np.clip(np.rint(exact), 0, most).astype(np.int32)
    return Numbers(q, scales, zeros, group_of_input, bits)


def _words(rows: np.ndarray, bits: int, places: tuple[int, ...]) -> np.ndarray:
    """Pack along the last axis: number `places[i]` of each word goes to bits i*bits and up."""
    per_word = len(places)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % per_word)))
    words = np.zeros((len(rows), padded.shape[1] // per_word), np.uint32)
    for word in range(words.shape[1]):
        for i, place in enumerate(places):
            number = padded[:, word * per_word + place].astype(np.uint32)
            words[:, word] |= number << np.uint32(i * bits)
    return words.view(np.int32)


def gptq(numbers: Numbers, *, version_1: bool = True) -> dict[str, np.ndarray]:
    bits = numbers.bits
    in_order = tuple(range(32 // bits))
    zeros = numbers.zeros - version_1
    return {
        "qweight": np.ascontiguousarray(_words(numbers.q, bits, in_order).T),
        "qzeros": _words(zeros.T, bits, in_order),
        "scales": np.ascontiguousarray(numbers.scales.T),
        "g_idx": numbers.group_of_input,
    }


AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def awq(numbers: Numbers) -> dict[str, np.ndarray]:
    return {
        "qweight": _words(numbers.q.T, 4, AWQ_ORDER),
        "qzeros": _words(numbers.zeros.T, 4, AWQ_ORDER),
        "scales": np.ascontiguousarray(numbers.scales.T),
    }


def compressed_packed(numbers: Numbers, *, symmetric: bool) -> dict[str, np.ndarray]:
    in_order = tuple(range(32 // numbers.bits))
    tensors = {
        "weight_packed": _words(numbers.q, numbers.bits, in_order),
        "weight_scale": numbers.scales,
        "weight_shape": np.array(numbers.q.shape, np.int64),
    }
    if not symmetric:
        packed = _words(numbers.zeros.T, numbers.bits, in_order).T
        tensors["weight_zero_point"] = np.ascontiguousarray(packed)
    return tensors


def compressed_int8(numbers: Numbers, *, symmetric: bool) -> dict[str, np.ndarray]:
    tensors = {
        "weight": (numbers.q - 128).astype(np.int8),
        "weight_scale": numbers.scales.astype(ml_dtypes.bfloat16),
    }
    if not symmetric:
        tensors["weight_zero_point"] = (numbers.zeros - 128).astype(np.int8)
    return tensors


E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes by the low three bits; the fourth is the sign."""


def mxfp4(codes: np.ndarray, exponents: np.ndarray) -> dict[str, np.ndarray]:
    """Pack codes [out, in] of four bits, with exponents [out, in/32] of their scales."""
    num_out, num_in = codes.shape
    blocks = np.zeros((num_out, num_in // 32, 16), np.uint8)
    for column in range(num_in):
        shifted = (codes[:, column] << (4 * (column % 2))).astype(np.uint8)
        blocks[:, column // 32, column % 32 // 2] |= shifted
    return {"blocks": blocks, "scales": (exponents + 127).astype(np.uint8)}


def mxfp4_stands_for(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the matrices [..., out, in], number by number."""
    numbers = np.array([sign * magnitude for sign in (1, -1) for magnitude in E2M1])
    *rows, groups, _ = blocks.shape
    matrix = np.empty((*rows, groups * 32))
    matrix[..., 0::2] = numbers[blocks & 15].reshape(*rows, -1)
    matrix[..., 1::2] = numbers[blocks >> 4].reshape(*rows, -1)
    return matrix * np.repeat(2.0 ** (scales.astype(np.float64) - 127), 32, axis=-1)


def float8_blocks(
    matrix: np.ndarray, block: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, scales [blocks of out, blocks of in], and the matrix they stand for."""
    blocks = tuple(-(-size // side) for size, side in zip(matrix.shape, block, strict=True))
    values, scales = np.empty(matrix.shape, FLOAT8), np.empty(blocks, np.float32)
    stands_for = np.empty(matrix.shape)
    for i in range(blocks[0]):
        for j in range(blocks[1]):
            at = (
                slice(i * block[0], (i + 1) * block[0]),
                slice(j * block[1], (j + 1) * block[1]),
            )
            scales[i, j] = np.abs(matrix[at]).max() / 448
            values[at] = (matrix[at] / scales[i, j]).astype(FLOAT8)
            stands_for[at] = values[at].astype(np.float64) * scales[i, j]
    return values, scales, stands_for
