"""A picture of the prefix tree that is small whatever the tree has grown to.

    root ─┬─ node 0 ─┬─ node 1        parents come before their children;
          │          └─ node 2        of each node the picture tells how many children there are,
          └─ node 3                   those that were left out included

Nodes that follow one another without a branch, as the chunks of a prompt leave them, are told as
one where they are alike.

The node that was of use last is looked at first: held ones, then those let go last, and from there
along their children. So the paths of what is served now are told whole before anything older.
"""

import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from radixloom_runtime.cache.radix import Node

MAX_SCANNED = 1024
"""Children looked at in all: a millisecond, between two steps."""

_Rank = tuple[bool, int]


@dataclass(frozen=True, slots=True)
class Outlined:
    """A node as it is told, with those after it that are no branch."""

    parent: int | None
    """Its parent's place in the picture; None: the root."""
    first_ids: tuple[int, ...]
    """The tokens that it begins with."""
    num_pages: int
    num_holders: int
    num_finds: int
    num_children: int
    is_pinned: bool
    namespace: int
    """That of its root."""


def outline(
    roots: Mapping[int, Node], pinned: Collection[Node], *, max_nodes: int, max_ids: int
) -> list[Outlined]:
    """Tell of at most `max_nodes` nodes below `roots`, each with at most `max_ids` tokens.

    What is looked at is shared out over the roots, which are by namespace.
    """
    budget = MAX_SCANNED
    order = itertools.count()  # breaks ties, so that nodes are never compared
    told: list[Outlined] = []
    frontier: list[tuple[_Rank, int, int | None, int, Node]] = []

    def reach(parent: int | None, namespace: int, node: Node, most: int) -> None:
        nonlocal budget
        newest = itertools.islice(reversed(node.children.values()), min(most, budget))
        for child in newest:
            budget -= 1
            heapq.heappush(frontier, (_rank(child), next(order), parent, namespace, child))

    for namespace, root in roots.items():
        reach(None, namespace, root, max(1, MAX_SCANNED // len(roots)))
    while frontier and len(told) < max_nodes:
        _, _, parent, namespace, node = heapq.heappop(frontier)
        run = list(itertools.islice(_run(node, pinned), max(1, budget)))
        budget -= len(run) - 1
        told.append(_outlined(parent, namespace, run, node in pinned, max_ids))
        reach(len(told) - 1, namespace, run[-1], budget)
    return told


def _run(node: Node, pinned: Collection[Node]) -> Iterator[Node]:
    """Yield `node` and those after it, up to a branch or to one that is not alike."""
    yield node
    while len(node.children) == 1:
        (child,) = node.children.values()
        if _likeness(child, pinned) != _likeness(node, pinned):
            return
        yield child
        node = child


def _likeness(node: Node, pinned: Collection[Node]) -> tuple[int, int, bool]:
    return node.holders, node.finds, node in pinned


def _rank(node: Node) -> _Rank:
    return (not node.holders, -node.let_go_at)


def _outlined(
    parent: int | None,
    namespace: int,
    run: list[Node],
    is_pinned: bool,  # noqa: FBT001
    max_ids: int,
) -> Outlined:
    token_ids = itertools.chain.from_iterable(node.token_ids for node in run)
    return Outlined(
        parent=parent,
        first_ids=tuple(itertools.islice(token_ids, max_ids)),
        num_pages=sum(len(node.page_ids) for node in run),
        num_holders=run[0].holders,
        num_finds=run[0].finds,
        num_children=len(run[-1].children),
        is_pinned=is_pinned,
        namespace=namespace,
    )
