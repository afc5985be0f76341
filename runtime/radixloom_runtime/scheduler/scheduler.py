"""Decides what each step computes. Pure: no clock, no device, no socket.

    submit ──► waiting ──plan()──► running ──commit()──► Output ...
                  ▲                   │
                  └──── preempted ────┘

A plan goes through the running requests by rank (priority, then arrival): each decoding one gets
one token; prefilling ones share what the token budget leaves; then waiting ones are admitted. A
request that needs a page and finds none evicts from the cache, then preempts whoever ranks last.

Overlap. Plan n+1 is made and started before plan n is committed:

    host    plan 1 │ plan 2 │ commit 1, plan 3 │ commit 2, plan 4 │ ...
    device         [ step 1      ][ step 2       ][ step 3       ]

The device runs plans in order, and within a step, layer by layer, all K and V are written before
any is read. Everything below follows from these two facts and "a plan once made is run":

- A row whose last token is still being sampled is planned with no token: the device feeds itself.
  If that token turns out to end the request, the row's chunk of the next plan is wasted, and its
  result dropped (`Running.is_live`). An end by length is foreseen (`Phase.ENDING`).
- Prompt pages are filed in the tree when the chunk that fills them is *planned*. Whoever matches
  them has its chunk in the same plan or a later one, so it reads what is written by then. This
  lets many requests with one prefix prefill it once, without waiting for a commit.
- The filler is aborted or preempted: its chunk is in a plan already made, so the page is filled.
  A request is never preempted after its chunk was put into the plan in the making: those are
  planned in rank order, preempted from the other end, and admission preempts nobody.
- Pages freed at commit n or by an abort may still be written by step n+1. They are granted in
  plan n+2 at the earliest, and its step writes each position before it reads it.
- Pages freed by a preemption or an eviction in plan n+1 and granted in the same plan may be
  written by step n, never by step n+1: the preempted has no chunk in it, the evicted no holder.
- Pages with output are filed at the end or at preemption, up to the last token that is known and
  whose KV is planned. Step n+1 may yet write the last of these, with the value it should have.
- A preempted request forgets the token in flight; it samples the same again, since sampling is
  keyed by (seed, position).

No deadlock: the first in rank gets every page that others have, and `refusal` has made sure that
it fits; so it runs to its end, and then the next is the first.
"""

# ruff: noqa: S101 - asserts guard our own invariants

import heapq
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

from radixloom_runtime.cache.ledger import NO_MATCH, Ledger
from radixloom_runtime.cache.radix import Match
from radixloom_runtime.scheduler import stopping
from radixloom_runtime.scheduler.answer import settle
from radixloom_runtime.scheduler.draft import Draft
from radixloom_runtime.scheduler.policy import RETRY_AFTER_SECONDS, WaitingQueue
from radixloom_runtime.scheduler.request import Phase, Rank, Request, Running, Waiting
from radixloom_runtime.wire.messages import Output, Rejected, Submit
from radixloom_runtime.wire.plan import Limits, StepPlan, StepResult

MAX_IN_FLIGHT = 2
"""Plans made and not committed: one that the device runs, one queued behind it. A third would
only add wasted steps after each stop token: the device is busy already."""


@dataclass(slots=True)
class Totals:
    """Counters over the scheduler's life."""

    prompt_tokens: int = 0
    """Of admitted requests; once each."""
    cached_tokens: int = 0
    output_tokens: int = 0
    preemptions: int = 0


def _rank(run: Running) -> Rank:
    return run.request.rank


class Scheduler:
    """Continuous batching with chunked prefill over a prefix cache."""

    def __init__(
        self, limits: Limits, *, max_queued_requests: int, prefix_cache: bool = True
    ) -> None:
        """No prefixes are cached for a recurrent model, whatever `prefix_cache` says."""
        self._limits = limits
        self._max_queued_requests = max_queued_requests
        self.ledger = Ledger(
            limits.num_pages,
            limits.page_tokens,
            prefix_cache=prefix_cache and not limits.is_recurrent,
        )
        self.totals = Totals()
        self._waiting = WaitingQueue()
        self._running: list[Running] = []
        """By rank: the first is served first, the last is preempted first."""
        self._by_id: dict[str, Waiting | Running] = {}
        self._free_rows = list(range(limits.max_rows))  # a heap: low rows first, tight batches
        self._in_flight: deque[tuple[StepPlan, tuple[Running, ...]]] = deque()
        self._next_number = 0
        self._num_submitted = 0
        self._may_admit = True
        """False while nothing has changed since all who wait were found not to fit."""

    @property
    def num_waiting(self) -> int:
        """Requests accepted and not running."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Requests that have a row."""
        return len(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether every accepted request has had its last Output."""
        return not self._by_id

    # --- requests come and go

    def submit(self, submit: Submit) -> Rejected | None:
        """Accept a request, or tell why not."""
        why = stopping.refusal(submit, self._limits)
        if submit.request_id in self._by_id:
            why = f"request id {submit.request_id!r} is in use; choose another"
        if why is not None:
            return Rejected(request_id=submit.request_id, message=why)
        if len(self._waiting) >= self._max_queued_requests + len(self._free_rows):
            return Rejected(
                request_id=submit.request_id,
                message=f"{len(self._waiting)} requests are waiting, no more may; try again later",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        request = Request(
            submit=submit,
            arrival=self._num_submitted,
            end=stopping.end_of(submit, self._limits),
            stop_ids=frozenset(submit.stop_token_ids),
        )
        self._num_submitted += 1
        self._wait(Waiting(request, tuple(submit.prompt_ids)))
        return None

    def abort(self, request_id: str) -> None:
        """Forget a request; nothing happens if it has finished."""
        match self._by_id.get(request_id):
            case Waiting() as waiting:
                self._waiting.remove(waiting)
                del self._by_id[request_id]
                self._may_admit = True
            case Running() as run:
                self._release(run)
            case None:
                pass

    def _wait(self, waiting: Waiting) -> None:
        self._waiting.add(waiting)
        self._by_id[waiting.request.submit.request_id] = waiting
        self._may_admit = True

    def _release(self, run: Running) -> None:
        """Take row and pages from a request; what is in the pages stays for others."""
        run.is_live = False
        del self._running[bisect_left(self._running, _rank(run), key=_rank)]
        del self._by_id[run.request.submit.request_id]
        heapq.heappush(self._free_rows, run.row)
        self.ledger.close(run.lease, run.token_ids, run.num_reusable)
        self._may_admit = True

    def _preempt(self, run: Running) -> None:
        self._release(run)
        self.totals.preemptions += 1
        self._wait(Waiting(run.request, tuple(run.token_ids), run.cached_tokens, run.has_answered))

    # --- planning

    def plan(self) -> StepPlan | None:
        """Decide the next step; None if there is nothing to compute before the next commit."""
        assert len(self._in_flight) < MAX_IN_FLIGHT, "commit the oldest plan first"
        num_decoding = sum(run.phase is Phase.DECODE for run in self._running)
        draft = Draft(
            number=self._next_number,
            decode_budget=self._limits.step_tokens,
            prefill_budget=self._limits.step_tokens - num_decoding,
        )
        self._plan_running(draft)
        self._admit(draft)
        plan, runs = draft.finished()
        if not runs:
            return None
        self._next_number += 1
        self._in_flight.append((plan, runs))
        return plan

    def _plan_running(self, draft: Draft) -> None:
        index = 0
        while index < len(self._running):  # shrinks from its end when someone is preempted
            run = self._running[index]
            phase = run.phase
            if phase is Phase.DECODE and draft.decode_budget > 0:
                self._plan_decode(draft, run)
            elif phase is Phase.PREFILL and draft.prefill_budget > 0:
                self._plan_prefill(draft, run)
            index += 1

    def _plan_decode(self, draft: Draft, run: Running) -> None:
        if not self._secure_places(draft, run, 1):
            return
        draft.decode(run)
        run.num_planned += 1
        run.num_in_flight += 1

    def _plan_prefill(self, draft: Draft, run: Running) -> None:
        wanted = min(run.prefill_end - run.num_planned, draft.prefill_budget)
        length = self._secure_places(draft, run, wanted)
        if not length:
            return
        draft.prefill(run, length)
        run.num_planned += length
        if run.phase is Phase.DECODE:
            run.num_in_flight += 1
        self.ledger.file(run.lease, run.token_ids, run.num_planned)
        self._may_admit = True  # a longer prefix is known: someone who waits may need fewer pages

    def _secure_places(self, draft: Draft, run: Running, wanted: int) -> int:
        """Get pages for the next `wanted` tokens of a request; return for how many there are.

        Preempts those that rank after it, last first. It is fewer than wanted only for the one
        that ranks last, which then waits for those before it.
        """
        page_ids = run.lease.page_ids
        missing = self.ledger.pages_for(run.num_planned + wanted) - len(page_ids)
        if missing <= 0:
            return wanted
        while missing > self.ledger.num_available and self._running[-1] is not run:
            self._preempt(self._running[-1])
        if granted := min(missing, self.ledger.num_available):
            draft.grant(run, self.ledger.extend(run.lease, granted))
        return min(wanted, len(page_ids) * self._limits.page_tokens - run.num_planned)

    # --- admission

    def _admit(self, draft: Draft) -> None:
        has_room = bool(self._free_rows) and draft.prefill_budget > 0
        if not (self._may_admit and self._waiting and has_room):
            return
        self._may_admit = False
        for waiting in self._waiting.candidates(lambda each: self._match(each).num_pages):
            if self._free_rows and draft.prefill_budget > 0 and self._fits(waiting):
                self._start(draft, waiting)  # changes what fits, so the next plan tries again

    def _match(self, waiting: Waiting) -> Match:
        if waiting.wants_prompt_logprobs:
            return NO_MATCH
        return self.ledger.match(waiting.token_ids)

    def _fits(self, waiting: Waiting) -> bool:
        """Whether all its known tokens fit now, beside what the running ones need next.

        Admitting on less would have it preempted before its first token.
        """
        match = self._match(waiting)
        needed = self.ledger.pages_for(len(waiting.token_ids)) - match.num_pages
        room = self.ledger.num_available - match.num_evictable
        return needed <= room - self._pages_reserved()

    def _pages_reserved(self) -> int:
        missing = (
            self.ledger.pages_for(run.prefill_end) - len(run.lease.page_ids)
            for run in self._running
        )
        return sum(max(1, pages) for pages in missing)

    def _start(self, draft: Draft, waiting: Waiting) -> None:
        self._waiting.serve(waiting)
        reads = not waiting.wants_prompt_logprobs
        lease = self.ledger.open(waiting.token_ids, read_cache=reads)
        matched = lease.num_filed * self._limits.page_tokens
        is_first_time = waiting.cached_tokens is None
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
        if is_first_time:
            self.totals.prompt_tokens += run.request.prompt_length
            self.totals.cached_tokens += matched
        insort(self._running, run, key=_rank)
        self._by_id[run.request.submit.request_id] = run
        draft.start(run)
        self._plan_prefill(draft, run)

    # --- results

    def commit(self, plan: StepPlan, result: StepResult) -> list[Output]:
        """Take the results of the oldest plan in flight; return what clients are to be told."""
        oldest, runs = self._in_flight.popleft()
        assert oldest is plan, f"plan {oldest.number} is to be committed before {plan.number}"
        assert result.number == plan.number, f"result {result.number} for plan {plan.number}"
        outputs: list[Output] = []
        for run, chunk, chunk_result in zip(runs, plan.chunks, result.chunks, strict=True):
            if not run.is_live:
                continue
            output = settle(run, chunk, chunk_result)
            if output is None:
                continue
            outputs.append(output)
            self.totals.output_tokens += len(output.token_ids)
            if output.finish_reason is not None:
                self._release(run)
        return outputs

    # --- checking

    def check(self) -> None:
        """Assert what this module promises; for tests."""
        self.ledger.check(run.lease for run in self._running)
        rows = [*self._free_rows, *(run.row for run in self._running)]
        assert sorted(rows) == list(range(self._limits.max_rows)), "a row is lost or given twice"
        ranks = [_rank(run) for run in self._running]
        assert ranks == sorted(ranks), "the running are not in rank order"
        assert len(self._by_id) == len(self._running) + len(self._waiting)
        for run in self._running:
            assert run.is_live
            assert run.num_planned <= len(run.token_ids) + run.num_in_flight
            places = len(run.lease.page_ids) * self._limits.page_tokens
            assert run.num_planned <= places, "a token is planned without a page for it"
