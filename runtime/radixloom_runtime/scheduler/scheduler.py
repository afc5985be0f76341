"""What the engine asks: submit, plan, commit. Pure: no device, no socket; the time is told.

    submit ──► waiting ──plan()──► running ──commit()──► Output ...
                  ▲                   │
                  └──── preempted ────┘          tick(now) ──► TimedOut ...

`groups` and `planner` decide a step, `turns` and `policy` in which order, `batch` keeps who has
what. Where the attention has several copies, all of the below holds in each group by itself.

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
- The filler is aborted, expired or preempted: its chunk is in a plan already made, so the page is
  filled. A request is never preempted after its chunk was put into the plan in the making: whom
  priority displaces goes first, the rest are planned in rank order and preempted from the other
  end, and admission preempts nobody.
- Pages freed at commit n or by an abort may still be written by step n+1. They are granted in
  plan n+2 at the earliest, and its step writes each position before it reads it.
- Pages freed by a preemption or an eviction in plan n+1 and granted in the same plan may be
  written by step n, never by step n+1: the preempted has no chunk in it, the evicted no holder.
- Pages with output are filed at the end or at preemption, up to the last token that is known and
  whose KV is planned. Step n+1 may yet write the last of these, with the value it should have.
- A row with guesses in flight is not planned again before they are committed: only then is known
  where it goes on. Guesses lie beyond all that is known, so pages that are filed never hold one.
- A row that a grammar guides is not planned again either before its token is committed.
- A preempted request forgets the token in flight; it samples the same again, since sampling is
  keyed by (seed, position). Its guide stands where its known tokens end, and goes with it.

No deadlock: the first in rank of a group gets every page that others have, and `refusal` has made
sure that it fits; so it runs to its end, and then the next is the first. Rank never changes, and
whoever is displaced ranks behind who displaced it, so no two requests take turns at displacing each
other.
"""

# ruff: noqa: S101 - asserts guard our own invariants

from collections import deque
from dataclasses import replace

from radixloom_runtime.cache.ledger import Ledger
from radixloom_runtime.scheduler import stopping
from radixloom_runtime.scheduler.adapters import Adapters
from radixloom_runtime.scheduler.answer import settle
from radixloom_runtime.scheduler.backpressure import CompletionRate
from radixloom_runtime.scheduler.batch import Batch, Requests, Totals
from radixloom_runtime.scheduler.deadlines import Deadlines
from radixloom_runtime.scheduler.groups import Planner
from radixloom_runtime.scheduler.guide import SHARE_TO_WAIT_FOR, Guide, pays_to_jump
from radixloom_runtime.scheduler.pins import Pins
from radixloom_runtime.scheduler.policy import WaitingQueue
from radixloom_runtime.scheduler.request import Request, Running, Waiting
from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.settings import SchedulePolicy
from radixloom_runtime.wire.messages import (
    CacheChanged,
    Flush,
    Output,
    Pin,
    Rejected,
    Submit,
    TimedOut,
    Unpin,
)
from radixloom_runtime.wire.plan import Chunk, ChunkResult, Limits, StepPlan, StepResult

MAX_IN_FLIGHT = 2
"""Plans made and not committed: one that the device runs, one queued behind it. A third would
only add wasted steps after each stop token: the device is busy already."""


class Scheduler:
    """Continuous batching with chunked prefill over a prefix cache."""

    def __init__(
        self,
        limits: Limits,
        *,
        max_queued_requests: int,
        prefix_cache: bool = True,
        policy: SchedulePolicy = SchedulePolicy.LPM,
        pinned_share: float = 0.25,
        speculation: Speculation | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """No prefixes are cached for a recurrent model, whatever `prefix_cache` says."""
        self._limits = limits
        self._max_queued_requests = max_queued_requests
        self.ledgers = tuple(
            Ledger(
                limits.num_pages,
                limits.page_tokens,
                prefix_cache=prefix_cache and not limits.is_recurrent,
                num_host_pages=limits.num_host_pages,
                group=group,
            )
            for group in range(limits.num_groups)
        )
        self._pins = Pins(self.ledgers[0], share=pinned_share)
        self.adapters = adapters or Adapters(0)
        self._requests = Requests(WaitingQueue(policy))
        self._batches = [
            Batch(limits, ledger, self._requests, group=group)
            for group, ledger in enumerate(self.ledgers)
        ]
        assert speculation is None or not limits.is_recurrent, "a state takes no guess back"
        self.speculation = speculation
        self._planner = Planner(limits, self._requests, self._batches, speculation)
        self._in_flight: deque[tuple[StepPlan, tuple[Running, ...]]] = deque()
        self._next_number = 0
        self._num_submitted = 0
        self._deadlines = Deadlines(self._deadline_of)
        self._completions = CompletionRate()

    @property
    def totals(self) -> Totals:
        """Counters over the scheduler's life."""
        return self._requests.totals

    @property
    def num_waiting(self) -> int:
        """Requests accepted and not running."""
        return len(self._requests.waiting)

    @property
    def num_running(self) -> int:
        """Requests that have a row."""
        return sum(len(batch.running) for batch in self._batches)

    @property
    def pinned_pages(self) -> int:
        """Pages that are pinned or about to be."""
        return self._pins.num_pages

    @property
    def is_idle(self) -> bool:
        """Whether every accepted request has had its last Output."""
        return not self._requests.by_id

    # --- requests come and go

    def tick(self, now: float) -> list[TimedOut]:
        """Take note of the time; return whose deadline has passed, and forget those."""
        self._requests.now = now
        passed = self._deadlines.take_passed(now)
        for request_id in passed:
            self.abort(request_id)
            self._pins.drop(request_id)
        self.totals.expired += len(passed)
        return [TimedOut(request_id=request_id) for request_id in passed]

    def _deadline_of(self, request_id: str) -> float | None:
        member = self._requests.by_id.get(request_id)
        return None if member is None else member.request.submit.deadline

    def submit(self, submit: Submit, guide: Guide | None = None) -> Rejected | None:
        """Accept a request, or tell why not; `guide` stands at the start of its answer."""
        unpinned = replace(self._limits, num_pages=self._limits.num_pages - self._pins.num_pages)
        why = stopping.refusal(submit, unpinned)
        if submit.adapter and self.adapters.find(submit.adapter) is None:
            why = f"the adapter {submit.adapter!r} is not loaded any more; load it again"
        if submit.request_id in self._requests.by_id:
            why = f"request id {submit.request_id!r} is in use; choose another"
        if why is not None:
            return Rejected(request_id=submit.request_id, message=why)
        return self._queue(submit, guide)

    def _queue(self, submit: Submit, guide: Guide | None) -> Rejected | None:
        num_free_rows = sum(batch.num_free_rows for batch in self._batches)
        if self.num_waiting >= self._max_queued_requests + num_free_rows:
            return Rejected(
                request_id=submit.request_id,
                message=f"{self.num_waiting} requests are waiting, no more may; try again later",
                retry_after_seconds=self._completions.retry_after_seconds(
                    self._requests.now, self.num_waiting
                ),
            )
        self._accept(submit, guide)
        return None

    def _accept(self, submit: Submit, guide: Guide | None) -> None:
        request = Request(
            submit=submit,
            arrival=self._num_submitted,
            end=stopping.end_of(submit, self._limits),
            stop_ids=frozenset(submit.stop_token_ids),
            turn=self._requests.turns.take(submit.user, submit.priority),
            adapter=self.adapters.find(submit.adapter) if submit.adapter else None,
        )
        self._num_submitted += 1
        self._requests.enqueue(Waiting(request, tuple(submit.prompt_ids), guide=guide))
        self._deadlines.note(submit)

    def abort(self, request_id: str) -> None:
        """Forget a request; nothing happens if it has finished."""
        match self._requests.by_id.get(request_id):
            case Running() as run:
                self._batch_of(run).release(run)
            case Waiting() as waiting:
                self._requests.drop(waiting)
            case None:
                pass

    def _batch_of(self, run: Running) -> Batch:
        return self._batches[self._limits.group_of_row(run.row)]

    def adapter_slots_in_use(self) -> set[int]:
        """Return the slots of all adapters that an accepted request has, unloaded ones too."""
        adapters = {member.request.adapter for member in self._requests.by_id.values()}
        return {adapter.slot for adapter in adapters if adapter is not None}

    # --- the cache

    def flush(self, flush: Flush) -> CacheChanged:
        """Drop the cached prefixes that nobody holds."""
        num_pages = sum(ledger.flush() for ledger in self.ledgers)
        self._requests.may_admit = True
        num_tokens = num_pages * self._limits.page_tokens
        return CacheChanged(request_id=flush.request_id, num_tokens=num_tokens)

    def pin(self, pin: Pin) -> Rejected | None:
        """Begin to pin a prefix, or tell why not; `commit` tells when it is pinned."""
        largest = max(map(self._pages_needed, self._requests.by_id.values()), default=0)
        why = self._pins.refusal(pin, largest_open=largest)
        if why is not None:
            return Rejected(request_id=pin.request_id, message=why)
        whole_pages = pin.prompt_ids[: self._pins.pages_of(pin) * self._limits.page_tokens]
        submit = Submit(
            request_id=pin.request_id,
            prompt_ids=whole_pages,
            max_tokens=0,
            deadline=pin.deadline,
        )
        rejected = self.submit(submit)
        if rejected is None:
            self._pins.await_(pin)
        return rejected

    def unpin(self, unpin: Unpin) -> CacheChanged:
        """Let a prefix be evicted again, or stop computing it."""
        if self._pins.is_awaited(unpin.pin_id):
            self.abort(unpin.pin_id)
        num_tokens = self._pins.drop(unpin.pin_id) * self._limits.page_tokens
        self._requests.may_admit = True
        return CacheChanged(request_id=unpin.request_id, num_tokens=num_tokens)

    def forget_kv(self) -> None:
        """Drop everything computed so far: the running begin anew, no prefix is known or pinned.

        Nothing may be in flight. Answers go on where they are; their tokens are kept.
        """
        assert not self._in_flight, "a step still reads and writes the pages"
        for batch in self._batches:
            while batch.running:
                batch.preempt(batch.running[-1])
        self._pins.drop_all()
        for ledger in self.ledgers:
            ledger.flush()

    def _pages_needed(self, member: Waiting | Running) -> int:
        submit = member.request.submit
        if self._pins.is_awaited(submit.request_id):
            return 0  # counted as pinned
        return self.ledgers[0].pages_for(stopping.places_of(submit, self._limits))

    # --- steps

    def plan(self) -> StepPlan | None:
        """Decide the next step; None if there is nothing to compute before the next commit."""
        assert len(self._in_flight) < MAX_IN_FLIGHT, "commit the oldest plan first"
        if self._in_flight and self._waits_for_guided():
            return None
        planned = self._planner.plan(self._next_number)
        if planned is None:
            return None
        self._next_number += 1
        self._in_flight.append(planned)
        return planned[0]

    def _waits_for_guided(self) -> bool:
        """Whether too many of the running could have no part in a step planned now."""
        if not any(batch.num_guided for batch in self._batches):
            return False
        num_awaiting = sum(run.awaits_token for batch in self._batches for run in batch.running)
        return num_awaiting > 0 and num_awaiting >= SHARE_TO_WAIT_FOR * self.num_running

    def _pays_to_jump(self, num_forced: int) -> bool:
        rows = -(-self.num_running // self._limits.num_groups)
        return pays_to_jump(num_forced, rows, self._limits)

    def commit(self, plan: StepPlan, result: StepResult) -> list[Output | CacheChanged | Rejected]:
        """Take the results of the oldest plan in flight; return what clients are to be told."""
        oldest, runs = self._in_flight.popleft()
        assert oldest is plan, f"plan {oldest.number} is to be committed before {plan.number}"
        assert result.number == plan.number, f"result {result.number} for plan {plan.number}"
        outputs: list[Output | CacheChanged | Rejected] = []
        num_finished = num_tokens = 0
        pays_to_jump = self._pays_to_jump
        for run, chunk, chunk_result in zip(runs, plan.chunks, result.chunks, strict=True):
            if not run.is_live:
                continue
            output = settle(run, chunk, chunk_result, pays_to_jump)
            if chunk.guessed_ids:
                self._judge(run, chunk, chunk_result)
            if output is None:
                continue
            if run.guide is not None and run.guide.error is not None:
                self._batch_of(run).release(run)
                outputs.append(stopping.lost_in_grammar(output.request_id, run.guide.error))
                continue
            outputs.append(output)
            num_tokens += len(output.token_ids)
            if output.finish_reason is not None:
                batch = self._batch_of(run)
                batch.release(run)
                num_finished += 1
                if self._pins.is_awaited(output.request_id):
                    outputs[-1] = self._pins.fulfil(output.request_id, run.token_ids, batch.ledger)
        self.totals.output_tokens += num_tokens
        self._completions.note(self._requests.now, num_finished)
        return outputs

    def _judge(self, run: Running, chunk: Chunk, result: ChunkResult) -> None:
        assert self.speculation is not None
        assert run.hunches is not None
        self.speculation.judge(
            run.hunches, num_guessed=len(chunk.guessed_ids), num_right=len(result.further_ids)
        )

    def check(self) -> None:
        """Assert what this module promises; for tests."""
        for batch in self._batches:
            batch.check()
        num_members = self.num_running + self.num_waiting
        assert len(self._requests.by_id) == num_members, "a request is lost"
