"""What every quantized format decodes to: small numbers, and what they are multiplied with.

    matrix[o, i] = values[o, i] * scales[o, group of i] + offsets[o, group of i]

A format is read in two steps: unpacked into this (exact, nothing is rounded), and then either kept
so, or made dense.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError

E2M1 = "float4_e2m1fn"
"""Floats of four bits."""


class Source(Protocol):
    """A checkpoint's tensors by name."""

    def __contains__(self, name: str) -> bool:
        """Whether it has one of this name."""
        ...

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """Map a tensor, which must have one of these shapes. Raises: `ModelError`."""
        ...

    def floats(self, module: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Map a module's matrix [out, in] that is not quantized. Raises: `ModelError`."""
        ...


class Tensors(Source, Protocol):
    """All that a checkpoint holds."""

    def __iter__(self) -> Iterator[str]:
        """Names of all tensors."""
        ...


def check_shape(
    name: str, path: Path, found: tuple[int, ...], wanted: Sequence[tuple[int, ...]]
) -> None:
    """Raise `ModelError` unless a tensor has one of the shapes that the configuration wants."""
    if found not in wanted:
        raise ModelError(
            f"tensor {name} of {path}: wanted shape {_either(wanted)} by config.json, found {found}"
        )


def absent(name: str, path: Path, wanted: Sequence[tuple[int, ...]]) -> ModelError:
    """Say that there is no such tensor."""
    return ModelError(f"{path} holds no tensor {name}; wanted one of shape {_either(wanted)}")


def _either(shapes: Sequence[tuple[int, ...]]) -> str:
    return " or ".join(str(shape) for shape in shapes)


@dataclass(frozen=True, slots=True)
class Form:
    """How a matrix is kept in memory without being made dense."""

    dtype: str
    """int4, int8, float8_e4m3fn or float4_e2m1fn."""
    group: int | None = None
    """Inputs that share a scale; None: all of an output's."""
    has_offsets: bool = False
    int8_activations: bool = False
    """The checkpoint was made to be multiplied by activations rounded to int8, token by token."""

    @property
    def is_packed(self) -> bool:
        """Whether memory holds two values in a byte, those of neighbouring inputs."""
        return self.dtype in ("int4", E2M1)

    @property
    def scale_dtype(self) -> np.dtype[Any]:
        """Of the scales in memory; uint8: the exponents of powers of two, 127 being 1."""
        return np.dtype(np.uint8 if self.dtype == E2M1 else np.float32)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Of the values in memory."""
        if self.is_packed:
            return np.dtype(np.int8)
        return np.dtype(getattr(ml_dtypes, self.dtype, self.dtype))

    def num_groups(self, num_inputs: int) -> int:
        """Return how many scales an output has."""
        return 1 if self.group is None else num_inputs // self.group

    def fits(self, num_inputs: int) -> bool:
        """Whether so many inputs are whole groups."""
        return self.group is None or num_inputs % self.group == 0


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a stored matrix [out, in] of this whole shape."""

    shape: tuple[int, int]
    rows: slice
    columns: slice

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> "Region":
        """Return all of a matrix."""
        return cls(shape, slice(0, shape[0]), slice(0, shape[1]))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclass(frozen=True, slots=True)
class StoredMatrix:
    """A matrix [out, in] as small numbers."""

    values: NDArray[Any]
    scales: NDArray[np.float32]
    """[out, groups]"""
    group_of_column: NDArray[np.int64]
    """[in]; usually 0 0 0 ... 1 1 1 ..., but a checkpoint may have it otherwise."""
    offsets: NDArray[np.float32] | None = None
    """[out, groups]"""

    def dense(self) -> NDArray[np.float32]:
        """Compute the matrix."""
        matrix = self.values.astype(np.float32)
        matrix *= self.scales[:, self.group_of_column]
        if self.offsets is not None:
            matrix += self.offsets[:, self.group_of_column]
        return matrix

    def is_of(self, form: Form) -> bool:
        """Whether it can be kept in this form."""
        num_inputs = len(self.group_of_column)
        if not form.fits(num_inputs) or self.scales.shape[1] != form.num_groups(num_inputs):
            return False
        regular = np.arange(num_inputs) // (form.group or num_inputs)
        has_offsets = self.offsets is not None
        same_kind = self.values.dtype == form.dtype and has_offsets == form.has_offsets
        return same_kind and np.array_equal(self.group_of_column, regular)


class Scheme(Protocol):
    """A format, with what config.json says about it."""

    @property
    def form(self) -> Form | None:
        """How its matrices can be kept; None: they can only be made dense."""
        ...

    @property
    def marker(self) -> str:
        """What follows a module's name in a tensor that only a quantized one has."""
        ...

    @property
    def is_quantized(self) -> bool:
        """Whether it stores small numbers; else floats that lie in an order of their own."""
        return True

    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        """Unpack a part of a module's matrix. Raises: `ModelError`."""
        ...

    def dense(self, source: Source, module: str, region: Region) -> NDArray[np.float32]:
        """Compute a part of a module's matrix. Raises: `ModelError`."""
        return self.read(source, module, region).dense()


def columns_in_groups(region: Region, group: int | None) -> tuple[slice, NDArray[np.int64]]:
    """Return which groups a part's columns touch, and the group of each among these."""
    if group is None:
        return slice(0, 1), np.zeros(region.size[1], np.int64)
    first = region.columns.start // group
    of_column = np.arange(region.columns.start, region.columns.stop) // group
    return slice(first, -(-region.columns.stop // group)), of_column - first
