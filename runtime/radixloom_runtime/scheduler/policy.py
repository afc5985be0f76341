"""Who is served next: priority, then the longest known prefix, with fairness to the oldest.

Serving those with the longest cached prefix first saves the most work and touches their pages
before they are evicted. Alone it would starve a request whose prefix nobody shares. So only the
`WINDOW` best-ranked compete, and the first of them is passed over at most `MAX_PASSED_OVER` times;
then nobody is admitted before it. Since everyone becomes the first sometime, everyone is served.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from radixloom_runtime.scheduler.request import Rank, Waiting

WINDOW = 32
"""Waiting requests whose prefix is looked up; bounds the work of a step with a long queue."""
MAX_PASSED_OVER = 16

RETRY_AFTER_SECONDS = 2.0
"""Told to those who find the queue full: about the time in which a few requests finish."""


def _rank(waiting: Waiting) -> Rank:
    return waiting.request.rank


class WaitingQueue:
    """The waiting requests, by rank: a preempted one is before all that came after it."""

    def __init__(self) -> None:
        self._by_rank: list[Waiting] = []
        self._times_passed_over = 0

    def __len__(self) -> int:
        return len(self._by_rank)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._by_rank)

    def add(self, waiting: Waiting) -> None:
        """Queue a request at its rank."""
        insort(self._by_rank, waiting, key=_rank)
        if self._by_rank[0] is waiting:
            self._times_passed_over = 0

    def remove(self, waiting: Waiting) -> None:
        """Take a request out without counting it as served."""
        index = bisect_left(self._by_rank, _rank(waiting), key=_rank)
        assert self._by_rank[index] is waiting  # noqa: S101 - our own invariant
        del self._by_rank[index]
        if index == 0:
            self._times_passed_over = 0

    def serve(self, waiting: Waiting) -> None:
        """Take a request out to admit it; the first in the queue is thereby passed over."""
        self._times_passed_over += 1
        self.remove(waiting)

    def candidates(self, matched_tokens: Callable[[Waiting], int]) -> Iterator[Waiting]:
        """Yield who may be admitted now, best first; the taker calls `serve` for those it admits.

        `matched_tokens` tells how much of a request's prompt the cache holds.
        """

        def place(waiting: Waiting) -> tuple[int, int, int]:
            priority, arrival = waiting.request.rank
            return priority, -matched_tokens(waiting), arrival

        for waiting in sorted(self._by_rank[:WINDOW], key=place):
            if self._times_passed_over < MAX_PASSED_OVER or waiting is self._by_rank[0]:
                yield waiting
