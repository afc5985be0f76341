"""MXFP4 (OCP microscaling): four-bit floats, with a power of two for each 32 inputs.

<module>_blocks   uint8 [out, in/32, 16]   two numbers in a byte, the earlier one in the low bits
<module>_scales   uint8 [out, in/32]       exponent + 127 (E8M0)

bits of a number    sign | exponent exponent | mantissa     (E2M1, exponent bias 1)
magnitudes          0  0.5  1  1.5  2  3  4  6

matrix[o, i] = 2^(scale[o, i / 32] - 127) * number[o, i]

Names end in `_blocks`, and not in `.weight`: where gpt-oss has it, one tensor holds all experts.
Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5.3 and 5.4.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.stored import (
    E2M1,
    Form,
    Region,
    Scheme,
    Source,
    StoredMatrix,
    columns_in_groups,
)

GROUP = 32
"""Inputs that share a scale."""
_NOT_A_NUMBER = 255


@dataclass(frozen=True, slots=True)
class MXFP4(Scheme):
    """It has no options."""

    @property
    @override
    def form(self) -> Form:
        return Form(E2M1, GROUP)

    @property
    @override
    def marker(self) -> str:
        return "_blocks"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        num_out, num_in = region.shape
        if num_in % GROUP:
            raise ModelError(f"{module}: MXFP4 wants a multiple of {GROUP} inputs, found {num_in}")
        groups, of_column = columns_in_groups(region, GROUP)
        blocks = source.tensor(f"{module}_blocks", (num_out, num_in // GROUP, GROUP // 2))
        scales = source.tensor(f"{module}_scales", (num_out, num_in // GROUP))
        exponents = np.ascontiguousarray(scales[region.rows, groups])
        if exponents.dtype != np.uint8 or blocks.dtype != np.uint8:
            raise ModelError(
                f"{module}: wanted uint8 blocks and scales by config.json,"
                f" found {blocks.dtype} and {exponents.dtype}"
            )
        if (exponents == _NOT_A_NUMBER).any():
            raise ModelError(f"tensor {module}_scales: found a scale that is no number (255)")
        first = groups.start * GROUP
        columns = slice(region.columns.start - first, region.columns.stop - first)
        return StoredMatrix(
            _numbers(blocks[region.rows, groups])[:, columns],
            exponents.view(ml_dtypes.float8_e8m0fnu).astype(np.float32),
            of_column,
        )


def _numbers(blocks: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Unpack [out, groups, 16] to [out, in]."""
    halves = np.stack([blocks & 15, blocks >> 4], axis=-1)
    num_out, num_groups, _ = blocks.shape
    return halves.reshape(num_out, num_groups * GROUP).view(ml_dtypes.float4_e2m1fn)
