"""The heart of the engine: receive, plan, start, finish the step before, answer.

    host     receive, plan 2, start 2 │ finish 1, commit 1, answer │ receive, plan 3, start 3 │ ...
    device   ─────── step 1 ──────────────┤ ──────────── step 2 ────────────────┤ ── step 3 ──

So the device has its next step before the host looks at the last one's tokens; why that is safe
is the scheduler's to tell.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from radixloom_runtime.engine.controls import Controls
from radixloom_runtime.engine.guides import POLL_SECONDS, Guides
from radixloom_runtime.engine.meter import Meter
from radixloom_runtime.engine.upkeep import Upkeep, change_adapters, update_weights
from radixloom_runtime.errors import EngineError
from radixloom_runtime.scheduler.backpressure import DEFAULT_RETRY_SECONDS
from radixloom_runtime.scheduler.guide import Guide
from radixloom_runtime.scheduler.looking import look
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.scheduler.stopping import lost_in_grammar
from radixloom_runtime.wire.messages import (
    Abort,
    CacheChanged,
    CacheLook,
    Drain,
    EngineMessage,
    Flush,
    LoadAdapter,
    Look,
    Pause,
    Pin,
    Rejected,
    Resume,
    ServerMessage,
    StartProfile,
    StopProfile,
    Submit,
    UnloadAdapter,
    Unpin,
    UpdateWeights,
)
from radixloom_runtime.wire.plan import Runner, StepHandle, StepPlan

log = structlog.get_logger()


class Link(Protocol):
    """The engine's end of the channel to the server."""

    def send(self, messages: Sequence[EngineMessage]) -> None:
        """Send messages in one frame; nothing for none."""
        ...

    def receive(self, *, timeout_seconds: float) -> list[ServerMessage]:
        """Take all that has come, after waiting at most so long for the first."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A plan that the runner has started."""

    plan: StepPlan
    handle: StepHandle


class EngineLoop:
    """Owns time and the link; schedules, runs and answers until it is drained."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner[Any],
        link: Link,
        meter: Meter,
        controls: Controls,
        clock: Callable[[], float] = time.monotonic,
        *,
        guides: Guides | None = None,
        upkeep: Upkeep | None = None,
    ) -> None:
        """Without `guides` no request may have a grammar; without `upkeep` weights stay."""
        self._scheduler = scheduler
        self._runner = runner
        self._link = link
        self._meter = meter
        self._controls = controls
        self._clock = clock
        self._guides = guides
        self._upkeep = upkeep
        self._in_flight: Step | None = None
        self._is_draining = False

    def run(self) -> None:
        """Serve until a Drain has come and every accepted request has its answer."""
        while not (self._is_draining and self._is_idle):
            self.turn()

    def turn(self) -> None:
        """Step, or wait for something to do; report now and then."""
        self._receive()
        self._take_guided()
        self._link.send(self._scheduler.tick(self._clock()))
        if not self._has_to_wait:
            self.step()
        if self._meter.is_report_due(self._clock()):
            self._link.send([self._meter.report(self._clock())])

    def step(self) -> None:
        """Start the next step, then finish and answer the one before."""
        with self._meter.step():
            started = self._start()
            finished, self._in_flight = self._in_flight, started
            if finished is not None:
                self._answer(finished)
            elif started is None:
                raise EngineError("the scheduler has requests but plans nothing: a defect")

    @property
    def _is_idle(self) -> bool:
        return self._has_nothing_to_run and (self._guides is None or self._guides.is_idle)

    @property
    def _has_nothing_to_run(self) -> bool:
        return self._scheduler.is_idle and self._in_flight is None

    @property
    def _has_to_wait(self) -> bool:
        """Whether there is nothing to do before a message comes."""
        is_paused = self._controls.is_paused and self._in_flight is None
        return is_paused or self._has_nothing_to_run

    def _patience(self) -> float:
        """Seconds to wait for a message."""
        if not self._has_to_wait:
            return 0.0
        most = self._meter.seconds_to_report(self._clock())
        is_compiling = self._guides is not None and not self._guides.is_idle
        return min(most, POLL_SECONDS) if is_compiling else most

    def _receive(self) -> None:
        for message in self._link.receive(timeout_seconds=self._patience()):
            self._take(message)

    def _take(self, message: ServerMessage) -> None:
        match message:
            case Submit():
                self._submit(message)
            case Abort(request_id):
                self._abort(request_id)
            case Flush() | Pin() | Unpin() | Look():
                self._tend_cache(message)
            case Pause() | Resume() | StartProfile() | StopProfile():
                self._link.send([self._controls.obey(message)])
            case UpdateWeights():
                self._settle()
                self._link.send([update_weights(message, self._upkeep, self._scheduler)])
            case LoadAdapter() | UnloadAdapter():
                self._link.send([change_adapters(message, self._upkeep, self._scheduler)])
            case Drain():
                log.info("engine.draining", running=self._scheduler.num_running)
                self._is_draining = True
                self._controls.is_paused = False

    def _tend_cache(self, message: Flush | Pin | Unpin | Look) -> None:
        if isinstance(message, Pin):
            self._pin(message)
        else:
            self._link.send([self._about_cache(message)])

    def _about_cache(self, message: Flush | Unpin | Look) -> CacheChanged | CacheLook:
        match message:
            case Flush():
                return self._scheduler.flush(message)
            case Unpin():
                return self._scheduler.unpin(message)
            case Look():
                return look(message, self._scheduler.ledgers, self._scheduler.adapters)

    def _submit(self, submit: Submit) -> None:
        if self._is_draining:
            self._link.send([self._refuse(submit)])
        elif submit.grammar and self._guides is not None:
            self._guides.begin(submit)
        else:
            self._schedule(submit)

    def _schedule(self, submit: Submit, guide: Guide | None = None) -> None:
        rejected = self._scheduler.submit(submit, guide)
        if rejected is not None:
            self._link.send([rejected])

    def _take_guided(self) -> None:
        """Schedule the requests whose grammars are compiled by now."""
        for submit, guide in self._guides.take() if self._guides is not None else ():
            if isinstance(guide, str):
                self._link.send([lost_in_grammar(submit.request_id, guide)])
            else:
                self._schedule(submit, guide)

    def _abort(self, request_id: str) -> None:
        if self._guides is not None:
            self._guides.drop(request_id)
        self._scheduler.abort(request_id)

    def _pin(self, pin: Pin) -> None:
        rejected = self._refuse(pin) if self._is_draining else self._scheduler.pin(pin)
        if rejected is not None:
            self._link.send([rejected])

    def _refuse(self, submit: Submit | Pin) -> Rejected:
        return Rejected(
            request_id=submit.request_id,
            message="the engine is shutting down and takes no more requests; try another replica",
            retry_after_seconds=DEFAULT_RETRY_SECONDS,
        )

    def _start(self) -> Step | None:
        plan = None if self._controls.is_paused else self._scheduler.plan()
        if plan is None:
            return None
        with self._meter.device():
            return Step(plan, self._runner.start(plan))

    def _settle(self) -> None:
        """Finish the step in flight, and start none."""
        finished, self._in_flight = self._in_flight, None
        if finished is not None:
            with self._meter.step():
                self._answer(finished)

    def _answer(self, step: Step) -> None:
        with self._meter.device():
            result = self._runner.finish(step.handle)
        self._link.send(self._scheduler.commit(step.plan, result))
        self._meter.steps += 1
        self._controls.note_step()
