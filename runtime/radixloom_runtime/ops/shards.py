"""Columns of an array that lie on several devices, and what is asked over all of them.

Each device has equally many columns; the last ones of the last device may stand for none.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Num


class Shards(NamedTuple):
    """Where this device's columns are among all; every device gets the same answers."""

    size: int
    """Columns in all."""
    first: Array | int = 0
    """Of this device, the first one's index."""
    axes: tuple[str, ...] = ()
    """Of the mesh, along which the others lie; none: there are no others."""
    groups: tuple[str, ...] = ()
    """Along which groups of devices lie, each with rows of its own."""

    def most(self, number: Num[Array, ""]) -> Num[Array, ""]:
        """Take the largest of all groups' numbers, where devices of a group ask each other.

        Whoever asks is waited for: so all groups take the same branches, and as many turns.
        """
        return jax.lax.pmax(number, self.groups) if self.groups and self.axes else number

    def wanted(self, is_wanted: Bool[Array, " R"]) -> Bool[Array, ""]:
        """Tell whether any row of any group wants a branch."""
        return self.most(jnp.any(is_wanted).astype(jnp.int32)) > 0

    def total(self, x: Num[Array, "..."]) -> Num[Array, "..."]:
        """Add up what each device found."""
        return jax.lax.psum(x, self.axes) if self.axes else x

    def largest(self, x: Num[Array, "..."]) -> Num[Array, "..."]:
        """Take the largest of what each device found."""
        return jax.lax.pmax(x, self.axes) if self.axes else x

    def smallest(self, x: Num[Array, "..."]) -> Num[Array, "..."]:
        """Take the smallest of what each device found."""
        return jax.lax.pmin(x, self.axes) if self.axes else x

    def side_by_side(self, x: Num[Array, "... C"]) -> Num[Array, "... _"]:
        """Lay what each device found along the last axis, in the order of the columns."""
        if not self.axes:
            return x
        return jax.lax.all_gather(x, self.axes, axis=x.ndim - 1, tiled=True)

    def indices(self, num_here: int) -> Num[Array, " C"]:
        """Return each of this device's columns' index among all."""
        return self.first + jnp.arange(num_here)

    def here(self, index: Num[Array, "..."], num_here: int) -> Num[Array, "..."]:
        """Return where columns are on this device; past the end for those of others."""
        own = index - self.first
        return jnp.where((own >= 0) & (own < num_here), own, num_here)

    def argmax(self, x: Num[Array, "R C"]) -> Num[Array, " R"]:
        """Return the index among all of the largest; the first of several."""
        if not self.axes:
            return jnp.argmax(x, axis=-1).astype(jnp.int32)
        here = jnp.argmax(x, axis=-1)
        value = jnp.take_along_axis(x, here[:, None], axis=-1)[:, 0]
        index = jnp.where(value == self.largest(value), self.first + here, self.size)
        return jnp.minimum(self.smallest(index), self.size - 1).astype(jnp.int32)
