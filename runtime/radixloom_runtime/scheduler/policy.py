"""Who is served next: by rank (turn and priority), within a user the longest known prefix.

Serving those with the longest cached prefix first saves the most work and touches their pages
before they are evicted. Alone it would let one user's shared prefix crowd out everybody else, and
starve a request whose prefix nobody shares. So rank decides *whose* turn it is, and the prefix only
*which* of that user's requests of that priority takes it:

    by rank     alice 1, bob 1, alice 2, alice 3, bob 2
    served      alice 3, bob 2, alice 1, alice 2, bob 1      if 3 and 2 have the longest prefixes

So turns are kept apart from requests: whichever is admitted, its user's earliest turn is spent.

Only the `WINDOW` best-ranked compete, and the first of them is passed over at most
`MAX_PASSED_OVER` times; then nobody is admitted before it. Since everyone becomes the first
sometime (see `turns`), everyone is served.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence

from radixloom_runtime.scheduler.request import Rank, Waiting
from radixloom_runtime.scheduler.turns import AGING
from radixloom_runtime.settings import SchedulePolicy

WINDOW = 32
"""Waiting requests whose prefix is looked up; bounds the work of a step with a long queue."""
MAX_PASSED_OVER = 16


def _rank(waiting: Waiting) -> Rank:
    return waiting.request.rank


_Share = tuple[int, str]
"""Priority and user: within a share the order may be changed."""


def _share(waiting: Waiting) -> _Share:
    return waiting.request.priority, waiting.request.submit.user


class WaitingQueue:
    """The waiting requests, by rank: a preempted one is before all that came after it."""

    def __init__(self, policy: SchedulePolicy = SchedulePolicy.LPM) -> None:
        self._policy = policy
        self._by_rank: list[Waiting] = []
        self._turns: dict[_Share, list[Rank]] = {}
        """Sorted; as many as the share has requests here."""
        self._times_passed_over = 0

    def __len__(self) -> int:
        return len(self._by_rank)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._by_rank)

    @property
    def window(self) -> Sequence[Waiting]:
        """Those who compete, by rank."""
        return self._by_rank[:WINDOW]

    def add(self, waiting: Waiting) -> None:
        """Queue a request at its rank."""
        insort(self._by_rank, waiting, key=_rank)
        insort(self._turns.setdefault(_share(waiting), []), waiting.request.rank)
        if self._by_rank[0] is waiting:
            self._times_passed_over = 0

    def remove(self, waiting: Waiting) -> None:
        """Take a request out without counting it as served: the last turn of its share is void."""
        self._take_out(waiting, spent=-1)

    def serve(self, waiting: Waiting) -> int:
        """Take a request out to admit it; return the turn that it spends.

        The first in the queue is thereby passed over.
        """
        self._times_passed_over += 1
        place, _ = self._take_out(waiting, spent=0)
        return place - waiting.request.priority * AGING

    def _take_out(self, waiting: Waiting, *, spent: int) -> Rank:
        share = _share(waiting)
        turn = self._turns[share].pop(spent)
        if not self._turns[share]:
            del self._turns[share]
        index = bisect_left(self._by_rank, _rank(waiting), key=_rank)
        assert self._by_rank[index] is waiting  # noqa: S101 - our own invariant
        del self._by_rank[index]
        if index == 0:
            self._times_passed_over = 0
        return turn

    def candidates(self, matched_tokens: Callable[[Waiting], int]) -> Iterator[Waiting]:
        """Yield who may be admitted now, best first; the taker calls `serve` for those it admits.

        `matched_tokens` tells how much of a request's prompt the cache holds.
        """
        for waiting in self._in_order(matched_tokens):
            if self._times_passed_over < MAX_PASSED_OVER or waiting is self._by_rank[0]:
                yield waiting

    def _in_order(self, matched_tokens: Callable[[Waiting], int]) -> Sequence[Waiting]:
        window = self.window
        if self._policy is SchedulePolicy.FCFS:
            return window
        shares: dict[_Share, list[Waiting]] = {}
        for waiting in window:
            shares.setdefault(_share(waiting), []).append(waiting)
        turns: list[tuple[Rank, Waiting]] = []
        for share, members in shares.items():
            members.sort(key=matched_tokens, reverse=True)  # stable: else by rank
            turns += zip(self._turns[share], members, strict=False)
        return [waiting for _, waiting in sorted(turns, key=lambda turn: turn[0])]
