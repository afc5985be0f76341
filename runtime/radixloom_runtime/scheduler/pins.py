"""Prefixes that stay in the cache until they are unpinned.

    pin ──► awaited: computed like a request without output ──► pinned ──unpin──► evictable

An awaited pin counts in full from the beginning. What pins hold, requests cannot have; so a pin is
refused when the largest open request would no longer fit the pool beside it, as is, from then on, a
request that does not.

Of several groups a pin is in one, where its prefix was computed; which one is not known before. So
all pins together count as if they were in the group where a request would have to fit.
"""

from radixloom_runtime.cache.ledger import Ledger
from radixloom_runtime.cache.radix import Node
from radixloom_runtime.wire.messages import CacheChanged, Pin


class Pins:
    """Who has pinned what; the ledger holds the pages."""

    def __init__(self, ledger: Ledger, *, share: float) -> None:
        """`ledger` is any group's; `share` of its pool is the most that may be pinned."""
        self._ledger = ledger
        self._most_pages = int(ledger.num_pages * share)
        self._share = share
        self._awaited: dict[str, int] = {}
        self._pinned: dict[str, tuple[Ledger, Node, int]] = {}
        self.num_pages = 0
        """Pages of all pins; a page that two have pinned counts twice."""

    def refusal(self, pin: Pin, *, largest_open: int) -> str | None:
        """Tell why a prefix cannot be pinned; `largest_open` is in pages."""
        size, wanted = self._ledger.page_tokens, self.pages_of(pin)
        if pin.request_id in self._awaited or pin.request_id in self._pinned:
            return f"{pin.request_id!r} is pinned already"
        if not self._ledger.keeps_prefixes:
            return "no prefixes are cached here, so there is nothing to pin"
        if not wanted:
            return (
                f"the prefix has {len(pin.prompt_ids)} tokens; the least to pin is a page, {size}"
            )
        if self.num_pages + wanted > self._most_pages:
            return (
                f"pinning {wanted * size} more tokens makes {(self.num_pages + wanted) * size}, but"
                f" {self._most_pages * size} may be pinned ({self._share:g} of the KV cache);"
                " unpin another prefix or raise --pinned-share"
            )
        if largest_open + self.num_pages + wanted > self._ledger.num_pages:
            return (
                f"beside {(self.num_pages + wanted) * size} pinned tokens a request that was"
                f" accepted before, of {largest_open * size}, would not fit; try again when it ends"
            )
        return None

    def pages_of(self, pin: Pin) -> int:
        """Count the pages that its prefix fills."""
        return len(pin.prompt_ids) // self._ledger.page_tokens

    def await_(self, pin: Pin) -> None:
        """Count a pin whose prefix is about to be computed."""
        self._awaited[pin.request_id] = self.pages_of(pin)
        self.num_pages += self.pages_of(pin)

    def is_awaited(self, request_id: str) -> bool:
        """Whether the request of that id computes a prefix to pin."""
        return request_id in self._awaited

    def fulfil(self, request_id: str, token_ids: list[int], ledger: Ledger) -> CacheChanged:
        """Hold the pages that a finished request has left in the tree of its group."""
        wanted = self._awaited.pop(request_id)
        end, num_pages = ledger.pin(token_ids)
        self.num_pages += num_pages - wanted
        self._pinned[request_id] = ledger, end, num_pages
        return CacheChanged(request_id=request_id, num_tokens=num_pages * self._ledger.page_tokens)

    def drop_all(self) -> None:
        """Forget every pin but those that are awaited."""
        for request_id in list(self._pinned):
            self.drop(request_id)

    def drop(self, request_id: str) -> int:
        """Forget a pin, awaited or not; return how many pages it held."""
        self.num_pages -= self._awaited.pop(request_id, 0)
        if request_id not in self._pinned:
            return 0
        ledger, end, num_pages = self._pinned.pop(request_id)
        ledger.unpin(end)
        self.num_pages -= num_pages
        return num_pages
