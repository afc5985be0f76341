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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from radixloom_runtime.runner.mesh import shape_of
from radixloom_runtime.wire.plan import PageMove

BLOCK = 16
"""Pages copied at once."""


class Block(NamedTuple):
    """Pages that are copied at once."""

    places: NDArray[np.int32]
    """[g, L, I]: in each group's part of the pool."""
    lines: list[int]
    """Of the copies, which lie there for all groups; the other lines are padding."""
    slots: list[int]
    """Where each of these lines is kept."""


class HostPages:
    """`num_slots` pages of host memory for each group; really taken when they are filled."""

    def __init__(self, pages: jax.Array, *, num_pages: int, num_slots: int) -> None:
        """`pages` is the pool: in each group, for each layer `num_pages` and a scratch page."""
        sharding = pages.sharding
        assert isinstance(sharding, NamedSharding)  # noqa: S101 - our own pool
        self._num_groups = shape_of(sharding.mesh).data  # pyright: ignore[reportArgumentType] - of real devices
        self._num_pages = num_pages
        stretch = pages.shape[0] // self._num_groups
        self._first_of_layer = np.arange(0, stretch, num_pages + 1, dtype=np.int32)
        shape = (len(self._first_of_layer), *pages.shape[1:])
        self._store: NDArray[Any] = np.empty((self._num_groups * num_slots, *shape), pages.dtype)
        self._arriving: list[tuple[jax.Array, Block]] = []
        self._gather, self._scatter = _compiled(pages, sharding, self._num_groups, shape)

    def move(self, pages: jax.Array, moves: Sequence[PageMove]) -> jax.Array:
        """Carry out moves in their order; takes the pool and returns it."""
        self._arrive()
        for to_host, run in groupby(moves, key=lambda move: move.to_host):
            for block in self._blocks(list(run)):
                pages = self._save(pages, block) if to_host else self._load(pages, block)
        return pages

    def _blocks(self, moves: list[PageMove]) -> Iterator[Block]:
        """Cut moves of one kind into blocks; what a group moves comes in its own part of each."""
        of_group: list[list[PageMove]] = [[] for _ in range(self._num_groups)]
        for move in moves:
            of_group[move.page_id // self._num_pages].append(move)
        for first in range(0, max(map(len, of_group)), BLOCK):
            yield self._block([some[first : first + BLOCK] for some in of_group])

    def _block(self, of_group: list[list[PageMove]]) -> Block:
        page_ids = np.full((self._num_groups, BLOCK), self._num_pages, np.int32)
        lines: list[int] = []
        slots: list[int] = []
        for group, moves in enumerate(of_group):
            page_ids[group, : len(moves)] = [move.page_id % self._num_pages for move in moves]
            lines += range(group * BLOCK, group * BLOCK + len(moves))
            slots += [move.slot for move in moves]
        places = self._first_of_layer[None, :, None] + page_ids[:, None, :]
        return Block(places, lines, slots)

    def _save(self, pages: jax.Array, block: Block) -> jax.Array:
        copies = self._gather(pages, block.places)
        copies.copy_to_host_async()
        self._arriving.append((copies, block))
        return pages

    def _load(self, pages: jax.Array, block: Block) -> jax.Array:
        self._arrive()
        copies = np.zeros((self._num_groups * BLOCK, *self._store.shape[1:]), self._store.dtype)
        copies[block.lines] = self._store[block.slots]
        return self._scatter(pages, block.places, copies)

    def _arrive(self) -> None:
        """Put what was gathered into its slots."""
        for copies, block in self._arriving:
            self._store[block.slots] = np.asarray(copies)[block.lines]
        self._arriving.clear()


def _compiled(
    pages: jax.Array, sharding: NamedSharding, num_groups: int, shape: tuple[int, ...]
) -> tuple[Any, Any]:
    """Compile both ways of copying blocks, each device for its own part of the pool."""
    mesh, (groups, *rest) = sharding.mesh, (*sharding.spec, None)
    of_pages, of_places = sharding.spec, PartitionSpec(groups)
    of_copies = PartitionSpec(groups, None, *rest)
    gather = jax.shard_map(
        _gather, mesh=mesh, in_specs=(of_pages, of_places), out_specs=of_copies, check_vma=False
    )
    scatter = jax.shard_map(
        _scatter,
        mesh=mesh,
        in_specs=(of_pages, of_places, of_copies),
        out_specs=of_pages,
        check_vma=False,
    )

    def described(shape: tuple[int, ...], dtype: Any, spec: PartitionSpec) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))

    places = described((num_groups, shape[0], BLOCK), jnp.int32, of_places)
    copies = described((num_groups * BLOCK, *shape), pages.dtype, of_copies)
    return (
        jax.jit(gather).lower(pages, places).compile(),
        jax.jit(scatter, donate_argnums=0).lower(pages, places, copies).compile(),
    )


def _gather(pages: Float[Array, "G S *W"], places: Int[Array, "1 L I"]) -> Float[Array, "I L S *W"]:
    return jnp.swapaxes(pages[places[0]], 0, 1)


def _scatter(
    pages: Float[Array, "G S *W"], places: Int[Array, "1 L I"], copies: Float[Array, "I L S *W"]
) -> Float[Array, "G S *W"]:
    return pages.at[places[0]].set(jnp.swapaxes(copies, 0, 1), mode="promise_in_bounds")
