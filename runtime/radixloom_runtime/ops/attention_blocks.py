"""What attention over prompts and over decodes share on the CPU: blocks, a running softmax."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from radixloom_runtime.ops.attention import Form, Ragged
from radixloom_runtime.ops.kv_numbers import as_numbers
from radixloom_runtime.ops.kv_rows import read_rows

BLOCK_TOKENS = 128
"""Positions whose keys and values are gathered at once."""

MASKED = -1e30
"""Finite, so that a fully masked block gives weights and not NaN."""


class Softmax(NamedTuple):
    """A softmax in progress: `total` and `out` are relative to exp(largest)."""

    largest: Float[Array, "*B"]
    total: Float[Array, "*B"]
    out: Float[Array, "*B V"]


class Layer(NamedTuple):
    """What all chunks of one layer share."""

    pages: Num[Array, "P S *W"]
    batch: Ragged
    window: Int[Array, ""] | int | None
    sinks: Float[Array, "K G"] | None

    @property
    def pages_per_block(self) -> int:
        """Pages that are gathered at once."""
        return max(1, BLOCK_TOKENS // self.pages.shape[1])

    @property
    def block_tokens(self) -> int:
        """Positions that are gathered at once."""
        return self.pages_per_block * self.pages.shape[1]


def begin(
    queries: Float[Array, "*B K Q H"], sinks: Float[Array, "K Q"] | None, form: Form
) -> Softmax:
    """Start before the first position: from nothing, or from the sinks."""
    value_dim = form.value_dim or queries.shape[-1]
    out = jnp.zeros((*queries.shape[:-1], value_dim), jnp.float32)
    if sinks is None:
        largest = jnp.full(queries.shape[:-1], MASKED, jnp.float32)
        return Softmax(largest, jnp.zeros_like(largest), out)
    largest = jnp.broadcast_to(sinks, queries.shape[:-1])
    return Softmax(largest, jnp.ones_like(largest), out)


def gather(
    pages: Num[Array, "P S *W"], table: Int[Array, "*B C"], form: Form
) -> tuple[Float[Array, "*B L K H"], Float[Array, "*B L K V"]]:
    """Bring blocks' pages together: keys and values of L = C * S positions each."""
    found = pages.at[table].get(mode="clip")
    *batch, num_pages, page_tokens = found.shape[: table.ndim + 1]
    rows = found.reshape(*batch, num_pages * page_tokens, *pages.shape[2:])
    return read_rows(as_numbers(rows), form)


def soft_capped(scores: Float[Array, "*B"], form: Form) -> Float[Array, "*B"]:
    """Bend scores towards the cap, if the model has one."""
    cap = form.soft_cap
    return scores if cap is None else cap * jnp.tanh(scores / cap)


def visible(
    seen: Int[Array, "*B L"], own: Int[Array, "*B 1"], window: Int[Array, ""] | int | None
) -> Bool[Array, "*B L"]:
    """Tell which positions a query at position `own` sees."""
    before = seen <= own
    return before if window is None else before & (seen > own - window)


def first_block(layer: Layer, position: Int[Array, "*B"]) -> Int[Array, "*B"] | int:
    """Return the first block that a query at `position` sees anything of."""
    if layer.window is None:
        return 0
    return jnp.maximum(position - layer.window + 1, 0) // layer.block_tokens
