"""Who waits and who runs, and the rows and pages that the running own.

    enqueue ──► waiting ──seat──► running ──release──► (gone)
                   ▲                 │
                   └──── preempt ────┘

No decisions here: `planner` makes them.
"""

# ruff: noqa: S101 - asserts guard our own invariants

import heapq
from bisect import bisect_left, insort
from dataclasses import dataclass

from radixloom_runtime.cache.ledger import Ledger
from radixloom_runtime.scheduler.policy import WaitingQueue
from radixloom_runtime.scheduler.request import Rank, Running, Waiting
from radixloom_runtime.scheduler.turns import Turns
from radixloom_runtime.wire.plan import Limits


@dataclass(slots=True)
class Totals:
    """Counters over the scheduler's life."""

    prompt_tokens: int = 0
    """Of admitted requests; once each."""
    cached_tokens: int = 0
    output_tokens: int = 0
    preemptions: int = 0
    """For want of pages, or displaced by a request of higher priority."""
    expired: int = 0


def _rank(run: Running) -> Rank:
    return run.request.rank


class Batch:
    """All accepted requests, each in one of two stages."""

    def __init__(self, limits: Limits, ledger: Ledger, waiting: WaitingQueue) -> None:
        self.ledger = ledger
        self.waiting = waiting
        self.turns = Turns()
        self.totals = Totals()
        self.running: list[Running] = []
        """By rank: the first is served first, the last is preempted first."""
        self.by_id: dict[str, Waiting | Running] = {}
        self.may_admit = True
        """False while nothing has changed since all who wait were found not to fit."""
        self._max_rows = limits.max_rows
        self._page_tokens = limits.page_tokens
        self._free_rows = list(range(limits.max_rows))  # a heap: low rows first, tight batches

    @property
    def num_free_rows(self) -> int:
        """Requests that can be seated now, as far as rows go."""
        return len(self._free_rows)

    def enqueue(self, waiting: Waiting) -> None:
        """Let a request wait at its rank."""
        self.waiting.add(waiting)
        self.by_id[waiting.request.submit.request_id] = waiting
        self.may_admit = True

    def drop(self, member: Waiting | Running) -> None:
        """Forget a request, whatever its stage."""
        if isinstance(member, Running):
            self.release(member)
            return
        self.waiting.remove(member)
        del self.by_id[member.request.submit.request_id]
        self.may_admit = True

    def seat(self, waiting: Waiting) -> Running:
        """Give a waiting request a row and the pages that are known to hold its start."""
        self.turns.serve(self.waiting.serve(waiting))
        reads = not waiting.wants_prompt_logprobs
        lease = self.ledger.open(waiting.token_ids, read_cache=reads)
        matched = lease.num_filed * self._page_tokens
        run = Running(
            request=waiting.request,
            row=heapq.heappop(self._free_rows),
            lease=lease,
            token_ids=list(waiting.token_ids),
            num_planned=matched,
            prefill_end=len(waiting.token_ids),
            cached_tokens=matched if waiting.cached_tokens is None else waiting.cached_tokens,
            has_answered=waiting.has_answered,
            prompt_logprobs=[None] if waiting.wants_prompt_logprobs else None,
        )
        if waiting.cached_tokens is None:
            self.totals.prompt_tokens += run.request.prompt_length
            self.totals.cached_tokens += matched
        insort(self.running, run, key=_rank)
        self.by_id[run.request.submit.request_id] = run
        return run

    def release(self, run: Running) -> None:
        """Take row and pages from a request; what is in the pages stays for others."""
        run.is_live = False
        del self.running[bisect_left(self.running, _rank(run), key=_rank)]
        del self.by_id[run.request.submit.request_id]
        heapq.heappush(self._free_rows, run.row)
        self.ledger.close(run.lease, run.token_ids, run.num_reusable)
        self.may_admit = True

    def preempt(self, run: Running) -> None:
        """Send a running request back to its place in the queue."""
        self.release(run)
        self.totals.preemptions += 1
        self.enqueue(
            Waiting(run.request, tuple(run.token_ids), run.cached_tokens, run.has_answered)
        )

    def check(self) -> None:
        """Assert that nobody and nothing is lost; for tests."""
        self.ledger.check(run.lease for run in self.running)
        rows = [*self._free_rows, *(run.row for run in self.running)]
        assert sorted(rows) == list(range(self._max_rows)), "a row is lost or given twice"
        ranks = [_rank(run) for run in self.running]
        assert ranks == sorted(ranks), "the running are not in rank order"
        assert len(self.by_id) == len(self.running) + len(self.waiting)
        for run in self.running:
            assert run.is_live
            assert run.num_planned <= len(run.token_ids) + run.num_in_flight
            places = len(run.lease.page_ids) * self._page_tokens
            assert run.num_planned <= places, "a token is planned without a page for it"
