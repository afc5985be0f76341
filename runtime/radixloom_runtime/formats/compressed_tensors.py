"""compressed-tensors: 8 or 4 bits, integers or floats, as the library of that name writes them.

int-quantized, float-quantized, naive-quantized      one number an entry
  weight        int8 or f8_e4m3 [out, in]
pack-quantized                                       several inputs in a word, lowest bits first
  weight_packed int32 [out, in/8]   number + 8
  weight_g_idx  int32 [in]          where an order of activations made groups irregular
with all of them
  weight_scale       one number, [out, 1], [out, groups], or one a block
  weight_zero_point  like the scales (packed along the outputs); absent if symmetric

matrix[o, i] = scale[o, g] * (q[o, i] - zero[o, g])
"""

from dataclasses import dataclass
from enum import StrEnum

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.formats import bits as packed
from radixloom_runtime.formats.fp8 import E4M3, ONE, block_scales, values_of
from radixloom_runtime.formats.stored import (
    Form,
    Region,
    Scheme,
    Source,
    StoredMatrix,
    columns_in_groups,
)


class Strategy(StrEnum):
    """Which entries share a scale."""

    TENSOR = "tensor"
    CHANNEL = "channel"
    GROUP = "group"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class CompressedTensors(Scheme):
    """One group of a config's `config_groups`."""

    bits: int
    is_float: bool
    is_packed: bool
    strategy: Strategy
    group: int | None = None
    block: tuple[int, int] = (128, 128)
    is_symmetric: bool = True
    has_act_order: bool = False
    int8_activations: bool = False
    """Activations are rounded to int8, each token by its own largest."""

    @property
    @override
    def form(self) -> Form | None:
        if self.has_act_order:
            return None
        group = self.group
        if self.strategy is Strategy.BLOCK:
            group = self.block[1]
        return Form(
            E4M3 if self.is_float else packed.dtype_of(self.bits),
            group,
            has_offsets=not self.is_symmetric,
            int8_activations=self.int8_activations,
        )

    @property
    @override
    def marker(self) -> str:
        return ".weight_scale"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        values = self._values(source, module, region)
        name = f"{module}.weight_scale"
        if self.strategy is Strategy.BLOCK:
            scales, of_column = block_scales(source, name, region, self.block)
            return StoredMatrix(values, scales, of_column)
        if self.strategy is Strategy.TENSOR:
            scale = np.asarray(source.tensor(name, *ONE), np.float32)
            scales = np.full((region.size[0], 1), scale.item(), np.float32)
            of_column = np.zeros(region.size[1], np.int64)
            return StoredMatrix(values, scales, of_column, self._offsets(source, module, scales))
        groups, of_column = columns_in_groups(region, self.group)
        shape = (region.shape[0], -(-region.shape[1] // (self.group or region.shape[1])))
        if self.has_act_order:
            of_column = source.tensor(f"{module}.weight_g_idx", region.shape[1:])[region.columns]
            of_column, groups = of_column.astype(np.int64), slice(0, shape[1])
        scales = np.asarray(source.tensor(name, shape)[region.rows, groups], np.float32)
        if self.is_symmetric:
            return StoredMatrix(values, scales, of_column)
        zeros = self._zeros(source, module, region, shape)[:, groups]
        return StoredMatrix(values, scales, of_column, -zeros.astype(np.float32) * scales)

    def _values(self, source: Source, module: str, region: Region) -> NDArray[np.generic]:
        if not self.is_packed:
            return values_of(source, module, region, E4M3 if self.is_float else "int8")
        words = (region.shape[0], packed.num_words(region.shape[1], self.bits))
        rows = source.tensor(f"{module}.weight_packed", words)[region.rows]
        numbers = packed.unpack_part(rows, self.bits, region.columns, axis=1)
        values = packed.signed(numbers, self.bits)
        return values.astype(ml_dtypes.int4) if self.bits <= 4 else values

    def _offsets(
        self, source: Source, module: str, scales: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        if self.is_symmetric:
            return None
        zero = np.asarray(source.tensor(f"{module}.weight_zero_point", *ONE), np.float32)
        return -zero.item() * scales

    def _zeros(
        self, source: Source, module: str, region: Region, shape: tuple[int, int]
    ) -> NDArray[np.generic]:
        name = f"{module}.weight_zero_point"
        if not self.is_packed:
            return source.tensor(name, shape)[region.rows]
        words = source.tensor(name, (packed.num_words(shape[0], self.bits), shape[1]))
        return packed.signed(packed.unpack_part(words, self.bits, region.rows, axis=0), self.bits)
