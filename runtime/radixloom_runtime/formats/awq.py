"""AWQ ("gemm"): four-bit integers packed along the outputs, in an order made for a GPU.

qweight  int32 [in, out/8]      eight outputs of one input in a word
qzeros   int32 [groups, out/8]
scales   f16   [groups, out]

bits of a word    0-3  4-7  8-11  12-15  16-19  20-23  24-27  28-31
output            0    2    4     6      1      3      5      7

matrix[o, i] = scales[g, o] * (q[i, o] - zero[g, o])
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from radixloom_runtime.formats import bits as packed
from radixloom_runtime.formats.stored import (
    Form,
    Region,
    Scheme,
    Source,
    StoredMatrix,
    columns_in_groups,
)

BITS = 4
_PER_WORD = packed.WORD_BITS // BITS
_PLACE_OF_OUTPUT = np.array([0, 4, 1, 5, 2, 6, 3, 7])


@dataclass(frozen=True, slots=True)
class AWQ(Scheme):
    """What config.json says of it."""

    group: int | None

    @property
    @override
    def form(self) -> Form:
        return Form("int4", self.group, has_offsets=True)

    @property
    @override
    def marker(self) -> str:
        return ".qweight"

    @override
    def read(self, source: Source, module: str, region: Region) -> StoredMatrix:
        num_out, num_in = region.shape
        words = packed.num_words(num_out, BITS)
        num_groups = -(-num_in // (self.group or num_in))
        groups, of_column = columns_in_groups(region, self.group)
        qweight = source.tensor(f"{module}.qweight", (num_in, words))[region.columns]
        qzeros = source.tensor(f"{module}.qzeros", (num_groups, words))[groups]
        scales = source.tensor(f"{module}.scales", (num_groups, num_out))[groups, region.rows]
        scales = scales.T.astype(np.float32)
        values = packed.signed(_outputs(qweight, region.rows), BITS)
        zeros = packed.signed(_outputs(qzeros, region.rows), BITS)
        offsets = -zeros.astype(np.float32) * scales
        return StoredMatrix(values.astype(ml_dtypes.int4), scales, of_column, offsets)


def _outputs(words: NDArray[np.int32], rows: slice) -> NDArray[np.uint8]:
    """Unpack [n, out/8] to [out, n], only the outputs `rows`."""
    first, last = rows.start // _PER_WORD, -(-rows.stop // _PER_WORD)
    numbers = packed.unpack(words[:, first:last], BITS, axis=1)
    in_order = numbers.reshape(len(words), -1, _PER_WORD)[..., _PLACE_OF_OUTPUT]
    begin = first * _PER_WORD
    return in_order.reshape(len(words), -1).T[rows.start - begin : rows.stop - begin]
