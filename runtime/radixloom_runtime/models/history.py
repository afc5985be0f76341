"""What the device keeps of the tokens that it has seen; each step takes it and gives it back.

    pages       keys and values, or latents, of every token: grows with the context
    recurrent   layers with linear attention sum the past up instead: the same size for ever,
                one state for each batch row and the scratch row

                row 0      row 1     ...   scratch
    window   [ C x W ]  [ C x W ]          the last W inputs of the short convolution
    state    [N Hk Hv]  [N Hk Hv]          what is known, by head: a map from keys to values

A token's page can be read again by another request. A state cannot: it only moves forward, by one
token after another, and holds its row's tokens and no one else's. It counts as zero for a chunk
that starts at position 0, whatever the row's last owner left there.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Recurrent(NamedTuple):
    """States of the L layers with linear attention, for B rows; both are split over the heads."""

    window: Float[Array, "L B W C"]
    """Oldest input first."""
    state: Float[Array, "L B N Hk Hv"]
    """float32: it is added to as often as there are tokens."""


class History(NamedTuple):
    """Carried through the layers, donated to each step, and updated in place."""

    pages: Float[Array, "G S *W"]
    recurrent: Recurrent | None
    """None for a model whose layers all have pages."""


def place_among(having: tuple[bool, ...], index: Int[Array, ""]) -> Int[Array, ""]:
    """Count the layers before `index` that are `having`: where its own part of the history lies."""
    if all(having):
        return index
    before = np.cumsum(having) - np.asarray(having, int)
    return jnp.asarray(before, jnp.int32)[index]
