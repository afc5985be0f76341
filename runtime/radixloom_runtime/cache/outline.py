"""A picture of the prefix tree that is small whatever the tree has grown to.

    root ─┬─ node 0 ─┬─ node 1        parents come before their children;
          │          └─ node 2        of each node the picture tells how many children there are,
          └─ node 3                   those that were left out included

The node that was of use last is looked at first: held ones, then those let go last, and from there
along their children. So the paths of what is served now are told whole before anything older.
"""

import heapq
import itertools
from collections.abc import Collection
from dataclasses import dataclass

from radixloom_runtime.cache.radix import Node

MAX_SCANNED = 4096
"""Children looked at in all: a millisecond, between two steps."""

_Rank = tuple[bool, int]


@dataclass(frozen=True, slots=True)
class Outlined:
    """A node as it is told."""

    parent: int | None
    """Its parent's place in the picture; None: the root."""
    first_ids: tuple[int, ...]
    """The tokens that it begins with."""
    num_pages: int
    num_holders: int
    num_finds: int
    num_children: int
    is_pinned: bool


def outline(
    root: Node, pinned: Collection[Node], *, max_nodes: int, max_ids: int
) -> list[Outlined]:
    """Tell of at most `max_nodes` nodes below `root`, each with at most `max_ids` tokens."""
    budget = MAX_SCANNED
    order = itertools.count()  # breaks ties, so that nodes are never compared
    told: list[Outlined] = []
    frontier: list[tuple[_Rank, int, int | None, Node]] = []

    def reach(parent: int | None, node: Node) -> None:
        nonlocal budget
        newest = itertools.islice(reversed(node.children.values()), budget)
        for child in newest:
            budget -= 1
            heapq.heappush(frontier, (_rank(child), next(order), parent, child))

    reach(None, root)
    while frontier and len(told) < max_nodes:
        _, _, parent, node = heapq.heappop(frontier)
        told.append(_outlined(parent, node, node in pinned, max_ids))
        reach(len(told) - 1, node)
    return told


def _rank(node: Node) -> _Rank:
    return (not node.holders, -node.let_go_at)


def _outlined(parent: int | None, node: Node, is_pinned: bool, max_ids: int) -> Outlined:  # noqa: FBT001
    return Outlined(
        parent=parent,
        first_ids=node.token_ids[:max_ids],
        num_pages=len(node.page_ids),
        num_holders=node.holders,
        num_finds=node.finds,
        num_children=len(node.children),
        is_pinned=is_pinned,
    )
