"""Which adapters there is room for, and which take part in a step; `low_rank` multiplies."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

NO_SLOT = 0
"""Of rows without an adapter; slot s > 0 lies at s - 1."""


@dataclass(frozen=True, slots=True)
class AdapterRoom:
    """How many adapters can be loaded at once, and how large."""

    count: int
    rank: int


class StepAdapters(NamedTuple):
    """Which adapters take part in a step."""

    of_token: Int[Array, " T"]
    """Where each token's lies; -1: it has none."""
    active: Int[Array, " S"]
    """Where those lie that any token has, then the others."""
    num_active: Int[Array, ""]


def step_adapters(slots: Int[Array, " T"], count: int) -> StepAdapters:
    """Find out which of `count` adapters the tokens have."""
    is_active = jnp.zeros(count + 1, bool).at[slots].set(True)[1:]
    return StepAdapters(slots - 1, jnp.argsort(~is_active), jnp.sum(is_active))
