"""Prefix tree: which KV pages already hold the start of this prompt.

    tokens   [ system prompt ........ | question A ]
    pages      p1   p2   p3             p4          edges of nodes fall on edges of pages
                          └ question B: p5

Two prompts that part inside a page share only the pages before it. So the children of a node are
told apart by their whole first page of tokens, and a page is compared as one tuple.

A *holder* (a running request) holds the node at which its known prefix ends, and with it the path
up to the root. What nobody holds can be evicted, from the leaves inwards, least recently held
first. `check()` tells whether this is true:

1. a child's key is its first page; its tokens are whole pages, one page id for each;
2. a node's `holders` is at least the sum of its children's, and 0 only if theirs all are;
3. `num_evictable` counts the pages of nodes without holders;
4. each leaf without holders is in the eviction heap with the time it was let go.

What was computed with an adapter has a root of its own, in a namespace; the pool, and the order of
eviction, are everybody's. Such a root is there as long as a node or a lease below it is.

The heap is lazy: an entry is never removed when its node is held again or cut away, it is skipped
when it comes up. Entries that went stale are swept when they outnumber the live ones.
"""

# ruff: noqa: S101 - asserts guard our own invariants

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from radixloom_runtime.cache.host_tier import NO_KEY, Key, first_key, keys_after

Tokens = Sequence[int]
_Key = tuple[int, ...]

OWN = 0
"""The namespace of the model's own KV; each adapter has one, since with it tokens have other KV."""

_SWEEP_ABOVE = 64
"""Below this many heap entries a sweep is not worth its call."""


class Node:
    """A run of pages after its parent's; the root has none."""

    __slots__ = (
        "__weakref__",
        "children",
        "finds",
        "holders",
        "keys",
        "let_go_at",
        "page_ids",
        "parent",
        "token_ids",
    )

    def __init__(
        self, parent: "Node | None", token_ids: tuple[int, ...], page_ids: list[int]
    ) -> None:
        self.parent = parent
        self.token_ids = token_ids
        self.page_ids = page_ids
        self.children: dict[_Key, Node] = {}
        self.holders = 0
        self.finds = 0
        """How often a prompt was found to go on here, for people to see."""
        self.let_go_at = 0
        """Tick at which the last holder left; orders eviction."""
        self.keys: list[Key] | None = None
        """Of the pages, once somebody has asked."""

    def path(self) -> Iterator["Node"]:
        """Yield this node and those above it, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, slots=True)
class Match:
    """How much of a prompt the tree holds."""

    num_pages: int
    num_evictable: int
    """Of these, pages that nobody holds at present."""


class RadixTree:
    """Page-granular prefix tree; owns the page ids that were put into it."""

    def __init__(self, page_tokens: int) -> None:
        self._page_tokens = page_tokens
        self.root = Node(None, (), [])
        self._roots = WeakValueDictionary({OWN: self.root})
        self.num_evictable = 0
        self.num_pages = 0
        self._num_nodes = 0
        self._heap: list[tuple[int, int, Node]] = []
        self._num_pushes = 0
        self._tick = 0

    # --- looking

    def match(self, token_ids: Tokens, max_pages: int, namespace: int = OWN) -> Match:
        """Measure the longest known prefix, at most `max_pages`; changes nothing."""
        num_pages = num_evictable = 0
        for node, count in self._walk(self._root_of(namespace), token_ids, 0, max_pages):
            num_pages += count
            if not node.holders:
                num_evictable += count
        return Match(num_pages, num_evictable)

    def _root_of(self, namespace: int) -> Node:
        root = self._roots.get(namespace)
        if root is None:
            root = self._roots[namespace] = Node(None, (), [])
            root.keys = [first_key(namespace)]
        return root

    @property
    def roots(self) -> dict[int, Node]:
        """All of them by namespace, the model's own first."""
        return dict(self._roots)

    def _walk(
        self, node: Node, token_ids: Tokens, first_page: int, max_pages: int
    ) -> Iterator[tuple[Node, int]]:
        """Yield the nodes below `node` that spell `token_ids`, each with how many pages agree."""
        size = self._page_tokens
        index = first_page
        while index < max_pages:
            child = node.children.get(tuple(token_ids[index * size : (index + 1) * size]))
            if child is None:
                return
            count = self._pages_agreeing(child, token_ids, index, max_pages - index)
            is_whole = count == len(child.page_ids)  # asked now: the taker may split the child
            yield child, count
            if not is_whole:
                return
            index += count
            node = child

    def _pages_agreeing(self, node: Node, token_ids: Tokens, index: int, most: int) -> int:
        size = self._page_tokens
        most = min(most, len(node.page_ids))
        offset = index * size
        if tuple(token_ids[offset : offset + most * size]) == node.token_ids[: most * size]:
            return most
        for page in range(1, most):
            start, end = page * size, (page + 1) * size
            if tuple(token_ids[offset + start : offset + end]) != node.token_ids[start:end]:
                return page
        raise AssertionError("a node's first page is its key, so at least that one agrees")

    # --- holding

    def hold(
        self, token_ids: Tokens, max_pages: int, namespace: int = OWN
    ) -> tuple[Node, list[int]]:
        """Hold the longest known prefix, at most `max_pages`; return its end and its pages."""
        end, page_ids = self._root_of(namespace), list[int]()
        for node, count in self._walk(end, token_ids, 0, max_pages):
            end = node if count == len(node.page_ids) else self._split(node, count)
            page_ids += end.page_ids
        for node in end.path():
            node.finds += 1
            self._add_holder(node)
        return end, page_ids

    def let_go(self, end: Node) -> None:
        """Undo one `hold` of `end`."""
        self._tick += 1
        for node in end.path():
            node.holders -= 1
            assert node.holders >= 0, "a node was let go more often than held"
            if not node.holders:
                node.let_go_at = self._tick
                self.num_evictable += len(node.page_ids)
                self._offer_for_eviction(node)

    def gained_by_letting_go(
        self, ends: Sequence[Node], kept: Tokens, max_kept_pages: int, namespace: int = OWN
    ) -> int:
        """Count the pages that nobody would hold, less those that hold a start of `kept`."""
        leaving = Counter(node for end in ends for node in end.path())
        idle = {node for node, count in leaving.items() if count == node.holders}
        known = self._walk(self._root_of(namespace), kept, 0, max_kept_pages)
        num_kept = sum(count for node, count in known if node in idle)
        return sum(len(node.page_ids) for node in idle) - num_kept

    def _add_holder(self, node: Node) -> None:
        if not node.holders:
            self.num_evictable -= len(node.page_ids)
        node.holders += 1

    # --- growing

    def knows_next(self, end: Node, page_tokens: Tokens) -> bool:
        """Whether the tree has a page with these tokens right after the node `end`."""
        return tuple(page_tokens) in end.children

    def extend_held(self, end: Node, token_ids: Tokens, page_ids: list[int]) -> Node:
        """Hang pages below the held `end` and move that hold down to them.

        `token_ids` are those of the pages; the tree must not know the first one here yet.
        """
        node = self._hang(end, token_ids, page_ids)
        node.holders = 1
        return node

    def insert_below(
        self, end: Node, token_ids: Tokens, first_page: int, page_ids: list[int]
    ) -> list[int]:
        """Put pages `first_page ...` of a token row below the held `end`, held by nobody.

        Returns those page ids that were not needed since the tree has such pages already.
        """
        num_known = 0
        last_page = first_page + len(page_ids)
        for node, count in self._walk(end, token_ids, first_page, last_page):
            end = node if count == len(node.page_ids) else self._split(node, count)
            num_known += count
        if num_known < len(page_ids):
            start = (first_page + num_known) * self._page_tokens
            tail = token_ids[start : last_page * self._page_tokens]
            leaf = self._hang(end, tail, page_ids[num_known:])
            self._tick += 1
            leaf.let_go_at = self._tick
            self.num_evictable += len(leaf.page_ids)
            self._offer_for_eviction(leaf)
        return page_ids[:num_known]

    def _hang(self, parent: Node, token_ids: Tokens, page_ids: list[int]) -> Node:
        key = tuple(token_ids[: self._page_tokens])
        assert key not in parent.children, "the tree knows this page already"
        node = Node(parent, tuple(token_ids), page_ids)
        parent.children[key] = node
        self.num_pages += len(page_ids)
        self._num_nodes += 1
        return node

    def _split(self, node: Node, count: int) -> Node:
        """Cut `node` after `count` pages; return the new upper part.

        `node` stays the lower part, so that who holds it still holds the same prefix.
        """
        cut = count * self._page_tokens
        parent = node.parent
        assert parent is not None
        upper = Node(parent, node.token_ids[:cut], node.page_ids[:count])
        upper.holders, upper.let_go_at, upper.finds = node.holders, node.let_go_at, node.finds
        if node.keys is not None:
            upper.keys, node.keys = node.keys[:count], node.keys[count:]
        parent.children[upper.token_ids[: self._page_tokens]] = upper
        node.parent, node.token_ids, node.page_ids = (
            upper,
            node.token_ids[cut:],
            node.page_ids[count:],
        )
        upper.children[node.token_ids[: self._page_tokens]] = node
        self._num_nodes += 1
        return upper

    # --- shrinking

    def evict(self, count: int, *, last_keys: list[Key] | None = None) -> list[int]:
        """Give up `count` pages, or all that nobody holds if those are fewer.

        `last_keys` takes the key of each page given up, where somebody wants them.
        """
        page_ids: list[int] = []
        while len(page_ids) < count and self._heap:
            let_go_at, _, leaf = heapq.heappop(self._heap)
            if self._is_evictable(leaf, let_go_at):
                if last_keys is not None:
                    keep = max(0, len(leaf.page_ids) - count + len(page_ids))
                    last_keys += self._keys(leaf)[keep:]
                page_ids += self._shorten(leaf, count - len(page_ids))
        return page_ids

    def _keys(self, node: Node) -> list[Key]:
        missing: list[Node] = []
        while node.keys is None and node.parent is not None:
            missing.append(node)
            node = node.parent
        last = node.keys[-1] if node.keys else NO_KEY
        for node in reversed(missing):
            node.keys = list(keys_after(last, node.token_ids, self._page_tokens))
            last = node.keys[-1]
        return node.keys or []

    def _shorten(self, leaf: Node, count: int) -> list[int]:
        """Cut at most `count` pages off the end of `leaf`; the whole leaf if it has no more."""
        keep = max(0, len(leaf.page_ids) - count)
        page_ids = leaf.page_ids[keep:]
        self.num_evictable -= len(page_ids)
        self.num_pages -= len(page_ids)
        if keep:
            leaf.token_ids = leaf.token_ids[: keep * self._page_tokens]
            leaf.page_ids = leaf.page_ids[:keep]
            leaf.keys = leaf.keys and leaf.keys[:keep]
            self._offer_for_eviction(leaf)
            return page_ids
        parent = leaf.parent
        assert parent is not None
        del parent.children[leaf.token_ids[: self._page_tokens]]
        leaf.page_ids = []
        self._num_nodes -= 1
        self._offer_for_eviction(parent)
        return page_ids

    def _offer_for_eviction(self, node: Node) -> None:
        if not self._is_evictable(node, node.let_go_at):
            return
        self._num_pushes += 1  # breaks ties, so that nodes are never compared
        heapq.heappush(self._heap, (node.let_go_at, self._num_pushes, node))
        if len(self._heap) > _SWEEP_ABOVE + 2 * self._num_nodes:
            self._sweep()

    def _is_evictable(self, node: Node, let_go_at: int) -> bool:
        is_idle_leaf = not node.holders and not node.children and bool(node.page_ids)
        return is_idle_leaf and node.let_go_at == let_go_at

    def _sweep(self) -> None:
        live = {id(e[2]): e for e in self._heap if self._is_evictable(e[2], e[0])}
        self._heap = list(live.values())
        heapq.heapify(self._heap)

    # --- checking

    def check(self) -> None:
        """Assert what the module promises."""
        nodes = list(self._nodes())
        in_heap = {(let_go_at, id(node)) for let_go_at, _, node in self._heap}
        for node in nodes:
            self._check_node(node)
            if self._is_evictable(node, node.let_go_at):
                assert (node.let_go_at, id(node)) in in_heap, "an idle leaf is not in the heap"
        assert self._num_nodes == len(nodes)
        assert self.num_pages == sum(len(node.page_ids) for node in nodes)
        idle = (len(node.page_ids) for node in nodes if not node.holders)
        assert self.num_evictable == sum(idle)

    def _check_node(self, node: Node) -> None:
        size = self._page_tokens
        assert node.page_ids, "only the root has no pages"
        assert node.keys is None or len(node.keys) == len(node.page_ids), "a key for each page"
        assert len(node.token_ids) == size * len(node.page_ids), "tokens are whole pages"
        assert node.parent is not None
        assert node.parent.children[node.token_ids[:size]] is node, "a child's key is its page"
        held_below = sum(child.holders for child in node.children.values())
        assert node.holders >= held_below, "who holds a child holds its parent"

    def _nodes(self) -> Iterator[Node]:
        todo = self.tops()
        while todo:
            node = todo.pop()
            yield node
            todo += node.children.values()

    def tops(self) -> list[Node]:
        """List the nodes right below the roots, for checks."""
        return [node for root in self.roots.values() for node in root.children.values()]

    def all_pages(self) -> list[int]:
        """List the pages in the tree, for checks."""
        return [page_id for node in self._nodes() for page_id in node.page_ids]
