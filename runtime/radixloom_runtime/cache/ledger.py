"""What the scheduler sees of a KV cache: leases of pages. Each group has one.

    page_ids   [ matched ........... | filed ............ | own .............. ]
               0                                      num_filed
               the tree owns; we hold `end`               this lease owns

    open    matched pages come from the tree, which holds them for us
    extend  own pages are added at the end, evicting what nobody holds
    file    own pages that are full go into the tree, at once usable by others
    close   full pages go into the tree, the rest is free again
    pin     pages in the tree are held for nobody in particular

With a host tier, evicted pages are copied to host memory, and `open` copies back what it finds
there. What is to be copied, and in which order, `take_moves` tells; it is done before the step.

`file` is called when the filling of a page is *planned*, see the scheduler for why that is safe.
If the tree has such a page already (a twin, computed twice at the same time, or the last page of
a prompt that was known whole), filing stops there and the rest stays our own until `close`. So a
lease never keeps more pages from others than its own table has, and one request that fits the
pool can always finish.
"""

# ruff: noqa: S101 - asserts guard our own invariants

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from radixloom_runtime.cache.host_tier import Copy, HostTier, Key, first_key, keys_after
from radixloom_runtime.cache.outline import Outlined, outline
from radixloom_runtime.cache.pages import PageAllocator
from radixloom_runtime.cache.radix import OWN, Match, Node, RadixTree

NO_MATCH = Match(num_pages=0, num_evictable=0)


@dataclass(slots=True, eq=False)
class Lease:
    """The pages of one running request, in the order of its tokens."""

    page_ids: list[int]
    end: Node
    """Where in the tree the pages `[:num_filed]` end."""
    num_filed: int
    has_twin: bool = False
    """The tree knows the page after `num_filed` from elsewhere; nothing more is filed."""


class Ledger:
    """All pages of the pool: free, known to the tree, or owned by a lease."""

    def __init__(
        self,
        num_pages: int,
        page_tokens: int,
        *,
        prefix_cache: bool = True,
        num_host_pages: int = 0,
        group: int = 0,
    ) -> None:
        """The numbers of its pages and slots come after those of the groups before it."""
        self.num_pages = num_pages
        self.page_tokens = page_tokens
        self._prefix_cache = prefix_cache
        self._allocator = PageAllocator(num_pages, group * num_pages)
        self._tree = RadixTree(page_tokens)
        self._pinned: list[Node] = []
        num_slots = num_host_pages if prefix_cache else 0
        self._host = HostTier(num_slots, group * num_host_pages)
        self._moves: list[Copy] = []
        self.num_restored = 0
        """Pages copied back from host memory so far."""

    @property
    def num_on_host(self) -> int:
        """Pages with a copy in host memory."""
        return len(self._host)

    @property
    def keeps_prefixes(self) -> bool:
        """Whether full pages are kept for others."""
        return self._prefix_cache

    @property
    def num_free(self) -> int:
        """Pages that hold nothing."""
        return self._allocator.num_free

    @property
    def num_evictable(self) -> int:
        """Pages that only the tree keeps."""
        return self._tree.num_evictable

    @property
    def num_available(self) -> int:
        """Pages that leases can be extended by."""
        return self._allocator.num_free + self._tree.num_evictable

    @property
    def num_used(self) -> int:
        """Pages that leases and pins hold; shared ones count once."""
        return self.num_pages - self.num_available

    def pages_for(self, num_tokens: int) -> int:
        """Count the pages that so many tokens fill or begin."""
        return -(-num_tokens // self.page_tokens)

    def match(self, token_ids: Sequence[int], namespace: int = OWN) -> Match:
        """Measure what `open` would find; changes nothing."""
        return self._tree.match(token_ids, self._most_matched(token_ids), namespace)

    def num_known(self, token_ids: Sequence[int], namespace: int = OWN) -> int:
        """Count the pages that `open` would not leave to be computed; changes nothing."""
        most = self._most_matched(token_ids)
        first = self._tree.match(token_ids, most, namespace).num_pages
        if not len(self._host) or first == most:
            return first
        return first + self._host.count(self._keys(token_ids, first, most, namespace))

    def _keys(self, token_ids: Sequence[int], first: int, last: int, namespace: int) -> list[Key]:
        """List the keys of pages in host memory that come after the first ones."""
        size = self.page_tokens
        return list(keys_after(first_key(namespace), token_ids[: last * size], size))[first:]

    def open(
        self, token_ids: Sequence[int], *, read_cache: bool = True, namespace: int = OWN
    ) -> Lease:
        """Begin a lease with the pages known to hold a start of `token_ids`, never all of it.

        Room for all of `token_ids` must be there: what host memory holds is copied to new pages.
        """
        most = self._most_matched(token_ids) if read_cache else 0
        end, page_ids = self._tree.hold(token_ids, most, namespace)
        lease = Lease(page_ids=page_ids, end=end, num_filed=len(page_ids))
        if len(self._host) and lease.num_filed < most:
            self._restore(lease, token_ids, most, namespace)
        return lease

    def _restore(self, lease: Lease, token_ids: Sequence[int], most: int, namespace: int) -> None:
        """Add the pages after those of a lease that have a copy in host memory."""
        size, first = self.page_tokens, lease.num_filed
        slots = self._host.find(self._keys(token_ids, first, most, namespace))
        if not slots:
            return
        page_ids = self._extend(lease, len(slots), except_slots=frozenset(slots))
        pairs = zip(page_ids, slots, strict=True)
        self._moves += [Copy(page_id, slot, to_host=False) for page_id, slot in pairs]
        self.num_restored += len(slots)
        self.file(lease, token_ids, (first + len(slots)) * size)

    def _most_matched(self, token_ids: Sequence[int]) -> int:
        # The last token is always computed: its logits are what the next one is sampled from.
        return (len(token_ids) - 1) // self.page_tokens

    def extend(self, lease: Lease, count: int) -> list[int]:
        """Add `count <= num_available` own pages to a lease and return them."""
        return self._extend(lease, count, except_slots=())

    def _extend(self, lease: Lease, count: int, *, except_slots: Collection[int]) -> list[int]:
        missing = count - self._allocator.num_free
        if missing > 0:
            self._evict(missing, except_slots)
        page_ids = self._allocator.take(count)
        lease.page_ids += page_ids
        return page_ids

    def _evict(self, count: int, except_slots: Collection[int]) -> None:
        keys: list[Key] | None = [] if self._host.num_slots else None
        page_ids = self._tree.evict(count, last_keys=keys)
        for page_id, key in zip(page_ids, keys or (), strict=keys is not None):
            slot = self._host.keep(key, except_slots=except_slots)
            if slot is not None:
                self._moves.append(Copy(page_id, slot, to_host=True))
        self._allocator.give_back(page_ids)

    def take_moves(self) -> tuple[Copy, ...]:
        """Return what is to be copied, in this order, before the step that is being planned."""
        moves, self._moves = tuple(self._moves), []
        return moves

    def file(self, lease: Lease, token_ids: Sequence[int], num_tokens: int) -> None:
        """Put own pages into the tree, as far as the first `num_tokens` tokens fill them."""
        num_full = num_tokens // self.page_tokens
        if num_full <= lease.num_filed or lease.has_twin or not self._prefix_cache:
            return
        size, first = self.page_tokens, lease.num_filed
        if self._tree.knows_next(lease.end, token_ids[first * size : (first + 1) * size]):
            lease.has_twin = True
            return
        tokens = token_ids[first * size : num_full * size]
        lease.end = self._tree.extend_held(lease.end, tokens, lease.page_ids[first:num_full])
        lease.num_filed = num_full

    def close(self, lease: Lease, token_ids: Sequence[int], num_tokens: int) -> None:
        """End a lease whose pages hold the KV of the first `num_tokens` tokens."""
        unused = lease.page_ids[lease.num_filed :]
        if self._prefix_cache:
            num_full = max(num_tokens // self.page_tokens, lease.num_filed)
            full, rest = lease.page_ids[lease.num_filed : num_full], lease.page_ids[num_full:]
            unused = rest + self._tree.insert_below(lease.end, token_ids, lease.num_filed, full)
        self._tree.let_go(lease.end)
        self._allocator.give_back(unused)

    def gained_by_closing(
        self, leases: Collection[Lease], kept_ids: Sequence[int], namespace: int = OWN
    ) -> int:
        """Count the pages that `num_available` would grow by, but for those that hold `kept_ids`.

        What others hold, too, is not gained.
        """
        own = sum(len(lease.page_ids) - lease.num_filed for lease in leases)
        most_kept = self._most_matched(kept_ids) if kept_ids else 0
        ends = [lease.end for lease in leases]
        return own + self._tree.gained_by_letting_go(ends, kept_ids, most_kept, namespace)

    # --- by the operator's hand

    def pin(self, token_ids: Sequence[int]) -> tuple[Node, int]:
        """Hold the known pages of a prefix until `unpin`; return their end and number."""
        end, page_ids = self._tree.hold(token_ids, len(token_ids) // self.page_tokens)
        self._pinned.append(end)
        return end, len(page_ids)

    def unpin(self, end: Node) -> None:
        """Undo one `pin`."""
        self._pinned.remove(end)
        self._tree.let_go(end)

    def flush(self) -> int:
        """Forget all prefixes that nobody holds, and all copies; return how many pages it frees."""
        self._host.clear()
        page_ids = self._tree.evict(self._tree.num_evictable)
        self._allocator.give_back(page_ids)
        return len(page_ids)

    def outline(self, *, max_nodes: int, max_ids: int) -> tuple[int, list[Outlined]]:
        """Return how many pages the tree has, and a bounded picture of it."""
        pinned = {node for end in self._pinned for node in end.path()}
        told = outline(self._tree.roots, pinned, max_nodes=max_nodes, max_ids=max_ids)
        return self._tree.num_pages, told

    def check(self, leases: Iterable[Lease]) -> None:
        """Assert that each page is in one place, given all leases that are open."""
        self._tree.check()
        self._host.check()
        leases = list(leases)
        own = [page_id for lease in leases for page_id in lease.page_ids[lease.num_filed :]]
        in_tree = self._tree.all_pages()
        everywhere = [*own, *in_tree, *self._allocator.free_pages()]
        assert sorted(everywhere) == list(self._allocator.page_ids), "a page is lost or in two"
        for lease in leases:
            held = [page_id for node in lease.end.path() for page_id in reversed(node.page_ids)]
            assert held[::-1] == lease.page_ids[: lease.num_filed], "a lease holds other pages"
            assert all(node.holders for node in lease.end.path()), "a leased page is not held"
        holders = sum(node.holders for node in self._tree.tops())
        held_ends = [*(lease.end for lease in leases), *self._pinned]
        assert holders == sum(end.parent is not None for end in held_ends), "a hold has leaked"
