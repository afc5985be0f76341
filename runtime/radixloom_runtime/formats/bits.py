"""Numbers of 2, 4 or 8 bits, several in an int32, lowest bits first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 32


def unpack(words: NDArray[Any], bits: int, *, axis: int) -> NDArray[np.uint8]:
    """Take apart; `axis` grows by the numbers that a word holds."""
    axis %= words.ndim
    shifts = np.arange(0, WORD_BITS, bits, dtype=np.uint32)
    spread = [1] * (words.ndim + 1)
    spread[axis + 1] = len(shifts)
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    mask = np.uint32((1 << bits) - 1)
    numbers = (np.expand_dims(unsigned, axis + 1) >> shifts.reshape(spread)) & mask
    shape = list(words.shape)
    shape[axis] *= len(shifts)
    return numbers.astype(np.uint8).reshape(shape)


def unpack_part(words: NDArray[Any], bits: int, part: slice, *, axis: int) -> NDArray[np.uint8]:
    """Take apart only the words that hold numbers `part` along `axis`."""
    per_word = WORD_BITS // bits
    first = part.start // per_word
    chosen = [slice(None)] * words.ndim
    chosen[axis] = slice(first, -(-part.stop // per_word))
    numbers = unpack(words[tuple(chosen)], bits, axis=axis)
    chosen[axis] = slice(part.start - first * per_word, part.stop - first * per_word)
    return numbers[tuple(chosen)]


def num_words(numbers: int, bits: int) -> int:
    """Return the words that hold so many numbers."""
    return -(-numbers * bits // WORD_BITS)


def signed(numbers: NDArray[np.uint8], bits: int) -> NDArray[np.int8]:
    """Move unsigned numbers to be around zero: 0 ... 15 to -8 ... 7."""
    return (numbers.astype(np.int16) - (1 << (bits - 1))).astype(np.int8)


def dtype_of(bits: int) -> str:
    """Name the smallest dtype that we keep such numbers in."""
    return "int4" if bits <= 4 else "int8"
