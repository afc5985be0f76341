"""Copies of evicted KV pages in host memory.

    plan.moves   [ to host, to host, ... ][ from host ... ][ to host ... ]      runs of one kind
                        gather ─► async copy        scatter, in place

Gathers and scatters are queued on the device between the steps before and after, so a page is
copied as the step before has left it, and what is loaded lies there before the next one reads it.
Nobody waits for a copy to the host until its slot is read or the next plan comes.

Pages go in blocks of `BLOCK`, padded with the pool's scratch page: one shape, compiled at start.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from radixloom_runtime.wire.plan import PageMove

BLOCK = 16
"""Pages copied at once."""


class HostPages:
    """`num_slots` pages of host memory; touched, and so really taken, when they are filled."""

    def __init__(self, pages: jax.Array, *, num_pages: int, num_slots: int) -> None:
        """`pages` is the pool: for each layer `num_pages` and a scratch page."""
        stride = num_pages + 1
        self._scratch = num_pages
        self._first_of_layer = np.arange(0, pages.shape[0], stride, dtype=np.int32)
        shape = (len(self._first_of_layer), *pages.shape[1:])
        self._store: NDArray[Any] = np.empty((num_slots, *shape), pages.dtype)
        self._arriving: list[tuple[jax.Array, Sequence[int]]] = []
        places = jax.ShapeDtypeStruct((len(self._first_of_layer), BLOCK), jnp.int32)
        block = jax.ShapeDtypeStruct((BLOCK, *shape), pages.dtype)
        scatter = jax.jit(_scatter, donate_argnums=0, out_shardings=pages.sharding)
        self._gather = jax.jit(_gather).lower(pages, places).compile()
        self._scatter = scatter.lower(pages, places, block).compile()

    def move(self, pages: jax.Array, moves: Sequence[PageMove]) -> jax.Array:
        """Carry out moves in their order; takes the pool and returns it."""
        self._arrive()
        for to_host, run in groupby(moves, key=lambda move: move.to_host):
            for block in _blocks(list(run)):
                pages = self._save(pages, block) if to_host else self._load(pages, block)
        return pages

    def _save(self, pages: jax.Array, moves: Sequence[PageMove]) -> jax.Array:
        block = self._gather(pages, self._places(moves))
        block.copy_to_host_async()
        self._arriving.append((block, [move.slot for move in moves]))
        return pages

    def _load(self, pages: jax.Array, moves: Sequence[PageMove]) -> jax.Array:
        self._arrive()
        block = np.zeros((BLOCK, *self._store.shape[1:]), self._store.dtype)
        block[: len(moves)] = self._store[[move.slot for move in moves]]
        return self._scatter(pages, self._places(moves), block)

    def _arrive(self) -> None:
        """Put what was gathered into its slots."""
        for block, slots in self._arriving:
            self._store[slots] = np.asarray(block)[: len(slots)]
        self._arriving.clear()

    def _places(self, moves: Sequence[PageMove]) -> NDArray[np.int32]:
        page_ids = np.full(BLOCK, self._scratch, np.int32)
        page_ids[: len(moves)] = [move.page_id for move in moves]
        return self._first_of_layer[:, None] + page_ids


def _gather(pages: Float[Array, "G S *W"], places: Int[Array, "L I"]) -> Float[Array, "I L S *W"]:
    return jnp.swapaxes(pages[places], 0, 1)


def _scatter(
    pages: Float[Array, "G S *W"], places: Int[Array, "L I"], block: Float[Array, "I L S *W"]
) -> Float[Array, "G S *W"]:
    return pages.at[places].set(jnp.swapaxes(block, 0, 1), mode="promise_in_bounds")


def _blocks(moves: list[PageMove]) -> Iterator[Sequence[PageMove]]:
    for first in range(0, len(moves), BLOCK):
        yield moves[first : first + BLOCK]
