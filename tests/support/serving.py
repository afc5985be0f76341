"""Serves requests with a scheduler and a runner (the toy) as the engine does, but step by step.

Overlap is the engine's: plan n+1 is made and started before plan n is finished and committed.
After every call the scheduler's and the cache's invariants are checked.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.toy_guide import expected_answer, toy_guide
from support.toy_runner import SLOTS, ToyRunner

from radixloom_runtime.scheduler.adapters import Adapters
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.settings import SchedulePolicy
from radixloom_runtime.wire.messages import (
    CacheChanged,
    Flush,
    Output,
    Pin,
    Rejected,
    Sampling,
    Submit,
    Unpin,
)
from radixloom_runtime.wire.plan import Limits, Runner, StepHandle, StepPlan

STEP_LIMIT = 5000
"""Far more steps than any test needs; reaching it means that nothing moves on."""

LIMITS = Limits(num_pages=64, page_tokens=4, max_rows=8, step_tokens=16, max_model_len=128)


SHARED = list(range(1, 41))
"""Ten pages of four tokens."""


def limits(**changes: int) -> Limits:
    """`LIMITS` with changes."""
    return dataclasses.replace(LIMITS, **changes)


def request(
    request_id: str, prompt_ids: Iterable[int], *, max_tokens: int = 4, seed: int = 0, **more
) -> Submit:
    """A greedy request for the toy."""
    sampling = Sampling(temperature=0.0, seed=seed)
    return Submit(
        request_id=request_id,
        prompt_ids=list(prompt_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        **more,
    )


@dataclass
class Answer:
    """All that a client was told about one request."""

    outputs: list[Output] = field(default_factory=list)
    rejected: Rejected | None = None
    timed_out: bool = False

    @property
    def token_ids(self) -> list[int]:
        return [token_id for output in self.outputs for token_id in output.token_ids]

    @property
    def finish_reason(self) -> str | None:
        return self.outputs[-1].finish_reason if self.outputs else None

    @property
    def cached_tokens(self) -> int:
        counts = {output.cached_tokens for output in self.outputs}
        assert len(counts) == 1, "cached_tokens is the same in every Output"
        return counts.pop()


class Service:
    """A scheduler, a runner, and what was answered so far."""

    def __init__(
        self,
        limits: Limits = LIMITS,
        *,
        max_queued_requests: int = 1000,
        prefix_cache: bool = True,
        overlap: bool = True,
        policy: SchedulePolicy = SchedulePolicy.LPM,
        pinned_share: float = 0.5,
        speculation: Speculation | None = None,
        runner: Runner[Any] | None = None,
    ) -> None:
        """The runner is the toy, or one that was built for no less than `limits`."""
        self.scheduler = Scheduler(
            limits,
            max_queued_requests=max_queued_requests,
            prefix_cache=prefix_cache,
            policy=policy,
            pinned_share=pinned_share,
            speculation=speculation,
            adapters=Adapters(len(SLOTS) - 1, filter(None, SLOTS)),
        )
        self.now = 0.0
        """A step takes a second."""
        self.runner = runner or ToyRunner(limits)
        self.answers: dict[str, Answer] = {}
        self.plans: list[StepPlan] = []
        self.pinned: dict[str, int] = {}
        """Tokens of each pin that was told to be done."""
        self.timed_out_pins: set[str] = set()
        self._overlap = overlap
        self._in_flight: tuple[StepPlan, StepHandle] | None = None

    def submit(self, *requests: Submit) -> None:
        for each in requests:
            self.answers[each.request_id] = Answer()
            rejected = self.scheduler.submit(each, toy_guide(each))
            self.answers[each.request_id].rejected = rejected
            self.scheduler.check()

    def abort(self, request_id: str) -> None:
        self.scheduler.abort(request_id)
        self.scheduler.check()

    def flush(self) -> int:
        flushed = self.scheduler.flush(Flush(request_id="flush"))
        self.scheduler.check()
        return flushed.num_tokens

    def pin(
        self, name: str, prompt_ids: Iterable[int], *, deadline: float | None = None
    ) -> Rejected | None:
        pin = Pin(request_id=name, prompt_ids=list(prompt_ids), deadline=deadline)
        rejected = self.scheduler.pin(pin)
        self.scheduler.check()
        return rejected

    def unpin(self, name: str) -> int:
        self.pinned.pop(name, None)
        unpinned = self.scheduler.unpin(Unpin(request_id="unpin", pin_id=name))
        self.scheduler.check()
        return unpinned.num_tokens

    def step(self, *, aborts: Iterable[str] = ()) -> bool:
        """One turn of the engine; returns whether anything was planned or committed.

        `aborts` come after the plan is made and before the one before it is committed.
        """
        self.now += 1.0
        self._tick()
        started = self._start()
        for request_id in aborts:
            self.abort(request_id)
        before, self._in_flight = self._in_flight, started
        if before is not None:
            self._commit(*before)
        if not self._overlap and started is not None:
            self._in_flight = None
            self._commit(*started)
        return started is not None or before is not None

    def run(self) -> dict[str, Answer]:
        """Step until there is nothing left to do."""
        for _ in range(STEP_LIMIT):
            if not self.step():
                self.check_idle()
                return self.answers
        raise AssertionError(f"not done after {STEP_LIMIT} steps")

    def serve(self, *requests: Submit) -> dict[str, Answer]:
        """Submit at once and run to the end."""
        self.submit(*requests)
        return self.run()

    def check_idle(self) -> None:
        """Nothing is left behind: no request, no row, no page that somebody holds."""
        ledgers = self.scheduler.ledgers
        assert self.scheduler.is_idle
        assert self.scheduler.num_running == self.scheduler.num_waiting == 0
        pinned_pages = sum(ledger.num_used for ledger in ledgers)
        assert pinned_pages <= self.scheduler.pinned_pages
        assert bool(pinned_pages) == bool(self.pinned)
        for ledger in ledgers:
            ledger.check([])

    def _tick(self) -> None:
        for timed_out in self.scheduler.tick(self.now):
            if timed_out.request_id not in self.answers:
                self.timed_out_pins.add(timed_out.request_id)
                continue
            answer = self.answers[timed_out.request_id]
            assert answer.finish_reason is None
            assert not answer.timed_out
            answer.timed_out = True
        self.scheduler.check()

    def _start(self) -> tuple[StepPlan, StepHandle] | None:
        plan = self.scheduler.plan()
        self.scheduler.check()
        if plan is None:
            return None
        self.plans.append(plan)
        return plan, self.runner.start(plan)

    def _commit(self, plan: StepPlan, handle: StepHandle) -> None:
        for output in self.scheduler.commit(plan, self.runner.finish(handle)):
            if isinstance(output, CacheChanged):
                self.pinned[output.request_id] = output.num_tokens
                continue
            answer = self.answers[output.request_id]
            assert answer.finish_reason is None, "nothing follows the finish reason"
            assert not answer.timed_out, "nothing follows the end of the time"
            if isinstance(output, Rejected):
                answer.rejected = output
                continue
            answer.outputs.append(output)
        self.scheduler.check()


def serve_alone(submit: Submit, limits: Limits) -> Answer:
    """Serve one request with nothing else around, without overlap and without cache."""
    service = Service(limits, prefix_cache=False, overlap=False)
    return service.serve(submit)[submit.request_id]


def as_text(answers: Mapping[str, Answer]) -> dict[str, tuple[list[int], str | None]]:
    """Tokens and finish reason of every request, for comparisons."""
    return {name: (answer.token_ids, answer.finish_reason) for name, answer in answers.items()}


def is_as_alone(service: Service, *requests: Submit) -> bool:
    """Whether these are all requests, each with the answer it would have alone."""
    expected = {each.request_id: expected_answer(each, service.runner.limits) for each in requests}
    return as_text(service.answers) == expected


def starts_in_order(service: Service) -> list[int]:
    """First tokens of the prompts, in the order of their admission."""
    return [start.history_ids[0] for plan in service.plans for start in plan.starts]
