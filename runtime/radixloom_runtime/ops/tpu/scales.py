"""Scales of int8 pages, turned from a token's row of lanes to one row of all positions.

pages   position 0   ... key0 | value0 | s s s s . . .        tile of scales, [positions, 128]
        position 1   ... key0 | value0 | s s s s . . .
                                         │
turned: each byte is a row over the positions, as scores have them; two rows make a scale
"""

from typing import Any

import jax.numpy as jnp

from radixloom_runtime.ops.kv_numbers import SCALE_BYTES, scale_of
from radixloom_runtime.ops.tpu.geometry import SCALES_A_HEAD, Geometry
from radixloom_runtime.ops.tpu.loops import Ref, Scalar


class ScaleTiles:
    """The scales of one block of positions; a tile that heads share is turned once."""

    def __init__(self, geometry: Geometry, pages: Ref, slot: Scalar) -> None:
        """`pages[slot]` is the block."""
        self._geometry = geometry
        self._pages = pages
        self._slot = slot
        self._turned: dict[int, Any] = {}

    def of(self, head: int) -> tuple[Any, Any] | None:
        """Return both scales of a kv head, [1, positions] each; None where pages have none."""
        if not self._geometry.has_scales:
            return None
        tile, first = self._geometry.scales_of(head)
        if tile.start not in self._turned:
            # Whole numbers up to 127 are exact in float32, which every generation can turn.
            block = self._pages[self._slot, :, tile].astype(jnp.float32)
            self._turned[tile.start] = block.T.astype(jnp.int32)
        turned = self._turned[tile.start]

        def scale(index: int) -> Any:
            low = first + index * SCALE_BYTES
            return scale_of(turned[low : low + 1], turned[low + 1 : low + 2])

        key, value = (scale(index) for index in range(SCALES_A_HEAD))
        return key, value
