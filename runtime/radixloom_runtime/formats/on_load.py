"""Quantized while loading: one scale for each output, from the largest of its weights.

    int8    values = round(matrix / scale),  scale = largest / 127
    fp8     values = e4m3(matrix / scale),   scale = largest / 448

An output's scale is made of all its inputs, also where a device holds but a part of them; so the
numbers are the same on any number of devices.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.formats.fp8 import E4M3
from radixloom_runtime.formats.scheme import Quantization
from radixloom_runtime.formats.stored import Form, Region, Scheme, Source, StoredMatrix

_LARGEST = {"int8": 127.0, E4M3: float(ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).max)}


@dataclass(frozen=True, slots=True)
class OnLoad(Scheme):
    """To `dtype`, from floats, or from what another scheme stored."""

    dtype: str
    stored: Scheme | None = None

    @property
    @override
    def form(self) -> Form:
        return Form(self.dtype)

    @property
    @override
    def marker(self) -> str:
        return ".weight" if self.stored is None else self.stored.marker

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        rows = Region(region.shape, region.rows, slice(0, region.shape[1]))
        if self.stored is None:
            matrix = source.floats(module, region.shape)[region.rows].astype(np.float32)
        else:
            matrix = self.stored.dense(source, module, rows)
        return quantize(matrix, self.dtype, region.columns)


def quantize(matrix: NDArray[np.float32], dtype: str, columns: slice) -> StoredMatrix:
    """Round each row to its own scale, and keep some columns."""
    most = _LARGEST[dtype]
    largest = np.max(np.abs(matrix), axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / most, 1).astype(np.float32)
    relative = np.clip(matrix[:, columns] / scales, -most, most)
    values: NDArray[Any] = (np.rint(relative) if dtype == "int8" else relative).astype(dtype)
    return StoredMatrix(values, scales, np.zeros(values.shape[1], np.int64))


def quantized_on_load(stored: Quantization, wanted: str) -> Quantization:
    """Return what the setting makes of a checkpoint: auto, none, int8 or fp8."""
    if wanted == "auto":
        return stored
    if wanted == "none":
        return replace(stored, kept=_nothing)
    dtype = {"int8": "int8", "fp8": E4M3}[wanted]
    return replace(stored, kept=partial(OnLoad, dtype))


def _nothing(_: Scheme | None) -> None:
    return None
