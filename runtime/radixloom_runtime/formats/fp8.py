"""8-bit floats (e4m3), with one scale a matrix, or one for each block of 128 x 128.

    weight            f8_e4m3 [out, in]
    weight_scale_inv  f32 [out/128, in/128]     a factor in spite of its name (DeepSeek, Qwen)
    weight_scale      f32, one number           where config.json has no weight_block_size

Activations are not rounded to 8 bits here, whatever the config says of them: what comes out is
nearer to the unquantized model's than what the scheme itself gives. `input_scale` is not read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.stored import Form, Region, Scheme, Source, StoredMatrix

E4M3 = "float8_e4m3fn"
ONE = ((), (1,), (1, 1))
"""Shapes in which a single number is stored."""


@dataclass(frozen=True, slots=True)
class Float8(Scheme):
    """What config.json says of it."""

    block: tuple[int, int] | None
    scale_name: str = "weight_scale_inv"

    @property
    @override
    def form(self) -> Form:
        return Form(E4M3, None if self.block is None else self.block[1])

    @property
    @override
    def marker(self) -> str:
        return f".{self.scale_name}"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        values = values_of(source, module, region, E4M3)
        if self.block is None:
            scale = np.asarray(source.tensor(f"{module}.{self.scale_name}", *ONE), np.float32)
            scales = np.full((region.size[0], 1), scale.item(), np.float32)
            return StoredMatrix(values, scales, np.zeros(region.size[1], np.int64))
        scales, of_column = block_scales(source, f"{module}.{self.scale_name}", region, self.block)
        return StoredMatrix(values, scales, of_column)


def values_of(source: Source, module: str, region: Region, dtype: str) -> NDArray[np.generic]:
    """Map a part of `weight`, which must be of this dtype. Raises: `ModelError`."""
    name = f"{module}.weight"
    whole = source.tensor(name, region.shape)
    if whole.dtype != dtype:
        raise ModelError(f"tensor {name}: wanted {dtype} by config.json, found {whole.dtype}")
    return whole[region.rows, region.columns]


def block_scales(
    source: Source, name: str, region: Region, block: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Give each row of a part its scales, of which a whole block of rows shares the same."""
    blocks = (-(-region.shape[0] // block[0]), -(-region.shape[1] // block[1]))
    first = region.columns.start // block[1]
    last = -(-region.columns.stop // block[1])
    of_row = np.arange(region.rows.start, region.rows.stop) // block[0]
    of_column = np.arange(region.columns.start, region.columns.stop) // block[1] - first
    scales = np.asarray(source.tensor(name, blocks)[:, first:last], np.float32)
    return scales[of_row], of_column
