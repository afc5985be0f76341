"""Who waits and who runs, and the rows and pages that the running own.

    Requests    enqueue ──► waiting ──seat──► running ──release──► (gone)
                               ▲                 │
    Batch, one a group         └──── preempt ────┘

No decisions here: `planner` and `groups` make them.
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


class Requests:
    """All accepted requests, by id; those that wait, in the order of their ranks."""

    def __init__(self, waiting: WaitingQueue) -> None:
        self.waiting = waiting
        self.turns = Turns()
        self.totals = Totals()
        self.by_id: dict[str, Waiting | Running] = {}
        self.now = 0.0
        """As the scheduler was last told."""
        self.may_admit = True
        """False while nothing has changed since all who wait were found not to fit."""

    def enqueue(self, waiting: Waiting) -> None:
        """Let a request wait at its rank."""
        self.waiting.add(waiting)
        self.by_id[waiting.request.submit.request_id] = waiting
        self.may_admit = True

    def drop(self, waiting: Waiting) -> None:
        """Forget a request that waits."""
        self.waiting.remove(waiting)
        del self.by_id[waiting.request.submit.request_id]
        self.may_admit = True


class Batch:
    """The running requests of a group, with its rows and pages."""

    def __init__(
        self, limits: Limits, ledger: Ledger, requests: Requests, *, group: int = 0
    ) -> None:
        self.ledger = ledger
        self.requests = requests
        self.running: list[Running] = []
        """By rank: the first is served first, the last is preempted first."""
        self.num_guided = 0
        """Of these, those that a grammar guides."""
        self._page_tokens = limits.page_tokens
        self._rows = range(group * limits.max_rows, (group + 1) * limits.max_rows)
        self._free_rows = list(self._rows)  # a heap: low rows first, tight batches

    @property
    def num_free_rows(self) -> int:
        """Requests that can be seated now, as far as rows go."""
        return len(self._free_rows)

    @property
    def num_tokens(self) -> int:
        """Tokens of the running requests: what they hold, and what of their prompts is to come."""
        return sum(len(run.token_ids) for run in self.running)

    def seat(self, waiting: Waiting) -> Running:
        """Give a waiting request a row and the pages that are known to hold its start."""
        everyone = self.requests
        everyone.turns.serve(everyone.waiting.serve(waiting))
        lease = self.ledger.open(
            waiting.token_ids,
            read_cache=waiting.reads_cache,
            namespace=waiting.request.namespace,
        )
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
            guide=waiting.guide,
            seated_at=everyone.now if waiting.seated_at is None else waiting.seated_at,
        )
        if waiting.cached_tokens is None:
            everyone.totals.prompt_tokens += run.request.prompt_length
            everyone.totals.cached_tokens += matched
        insort(self.running, run, key=_rank)
        self.num_guided += run.guide is not None
        everyone.by_id[run.request.submit.request_id] = run
        return run

    def release(self, run: Running) -> None:
        """Take row and pages from a request; what is in the pages stays for others."""
        run.is_live = False
        self.num_guided -= run.guide is not None
        del self.running[bisect_left(self.running, _rank(run), key=_rank)]
        del self.requests.by_id[run.request.submit.request_id]
        heapq.heappush(self._free_rows, run.row)
        self.ledger.close(run.lease, run.token_ids, run.num_reusable)
        self.requests.may_admit = True

    def preempt(self, run: Running) -> None:
        """Send a running request back to its place in the queue."""
        self.release(run)
        self.requests.totals.preemptions += 1
        self.requests.enqueue(
            Waiting(
                run.request,
                tuple(run.token_ids),
                run.cached_tokens,
                run.has_answered,
                run.guide,
                run.seated_at,
            )
        )

    def check(self) -> None:
        """Assert that nobody and nothing is lost; for tests."""
        self.ledger.check(run.lease for run in self.running)
        rows = [*self._free_rows, *(run.row for run in self.running)]
        assert sorted(rows) == list(self._rows), "a row is lost or given twice"
        ranks = [_rank(run) for run in self.running]
        assert ranks == sorted(ranks), "the running are not in rank order"
        assert self.num_guided == sum(run.guide is not None for run in self.running)
        for run in self.running:
            assert run.is_live
            assert self.requests.by_id[run.request.submit.request_id] is run
            assert run.num_planned <= len(run.token_ids) + run.num_in_flight
            places = len(run.lease.page_ids) * self._page_tokens
            assert run.num_planned <= places, "a token is planned without a page for it"
