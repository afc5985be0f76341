"""GPTQ: integers packed along the inputs, with scales and zero points for groups of inputs.

qweight  int32 [in/8, out]      eight inputs of one output in a word, lowest bits first (4 bits)
qzeros   int32 [groups, out/8]  eight outputs in a word; version 1 stores the zero point less one
scales   f16   [groups, out]
g_idx    int32 [in]             the group of each input; "act order" makes it irregular

matrix[o, i] = scales[g, o] * (q[i, o] - zero[g, o])
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats import bits as packed
from radixloom_runtime.formats.stored import (
    Form,
    Region,
    Scheme,
    Source,
    StoredMatrix,
    columns_in_groups,
)

BITS = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class GPTQ(Scheme):
    """What config.json says of it."""

    bits: int
    group: int | None
    is_symmetric: bool
    has_act_order: bool
    is_version_1: bool = True

    @property
    @override
    def form(self) -> Form | None:
        if self.has_act_order:
            return None
        dtype = packed.dtype_of(self.bits)
        return Form(dtype, self.group, has_offsets=not self.is_symmetric)

    @property
    @override
    def marker(self) -> str:
        return ".qweight"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        num_out, num_in = region.shape
        words = (packed.num_words(num_in, self.bits), num_out)
        qweight = source.tensor(f"{module}.qweight", words)[:, region.rows]
        numbers = packed.unpack_part(qweight, self.bits, region.columns, axis=0).T
        groups, of_column = self._groups(source, module, region)
        num_groups = -(-num_in // (self.group or num_in))
        scales = source.tensor(f"{module}.scales", (num_groups, num_out))[groups, region.rows].T
        scales = scales.astype(np.float32)
        values = packed.signed(numbers, self.bits).astype(self._dtype)
        zeros_shape = (num_groups, packed.num_words(num_out, self.bits))
        zeros = self._zeros(source.tensor(f"{module}.qzeros", zeros_shape)[groups], region).T
        if not self.is_symmetric:
            return StoredMatrix(values, scales, of_column, -zeros.astype(np.float32) * scales)
        if zeros.any():
            raise ModelError(
                f"{module}.qzeros: config.json says sym, which wants all zero points in the middle,"
                f" found some {int(zeros[zeros != 0][0]):+d} off it"
            )
        return StoredMatrix(values, scales, of_column)

    @property
    def _dtype(self) -> np.dtype[np.generic]:
        return np.dtype(ml_dtypes.int4 if self.bits <= 4 else np.int8)

    def _groups(
        self, source: Source, module: str, region: Region
    ) -> tuple[slice, NDArray[np.int64]]:
        name, group = f"{module}.g_idx", self.group or region.shape[1]
        groups, of_column = columns_in_groups(region, self.group)
        if name not in source and not self.has_act_order:
            return groups, of_column
        of_input = source.tensor(name, region.shape[1:])[region.columns].astype(np.int64)
        if not self.has_act_order:
            if np.array_equal(of_input - groups.start, of_column):
                return groups, of_column
            raise ModelError(
                f"{name}: config.json says desc_act false, which wants groups of {group} inputs"
                " in a row, found another order; set desc_act true if it was made so"
            )
        num_groups = -(-region.shape[1] // group)
        if of_input.min() < 0 or of_input.max() >= num_groups:
            raise ModelError(
                f"{name}: wanted groups 0 to {num_groups - 1}, found"
                f" {of_input.min()} to {of_input.max()}"
            )
        return slice(0, num_groups), of_input

    def _zeros(self, words: NDArray[np.int32], region: Region) -> NDArray[np.int16]:
        """Zero points as signed as the values are."""
        numbers = packed.unpack_part(words, self.bits, region.rows, axis=1).astype(np.int16)
        if self.is_version_1:  # a word has no place for more than its bits: it went around
            numbers = (numbers + 1) & ((1 << self.bits) - 1)
        return numbers - (1 << (self.bits - 1))
