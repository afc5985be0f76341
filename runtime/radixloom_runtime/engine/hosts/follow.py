"""The engine of a follower: runs the leader's plans in order and decides nothing.

    leader    publish n │ start n │ publish n+1 │ start n+1 │ finish n │ ...
    here           take n, start n │ take n+1, start n+1 │ finish n │ ...

A step is started as soon as its plan is there, while the one before still runs, so that no device
of the slice waits for another's host. The results are the same everywhere; here they only tell
that a step has ended.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from radixloom_runtime.engine.hosts.follower import Follower
from radixloom_runtime.engine.hosts.sessions import HostLostError
from radixloom_runtime.wire.channels import EngineChannel
from radixloom_runtime.wire.messages import Drain as ServerDrain
from radixloom_runtime.wire.messages import Stats
from radixloom_runtime.wire.plan import Runner, StepHandle, StepPlan
from radixloom_runtime.wire.slice_messages import Drain, Drained, Leaving, Run

_LOOK_SECONDS = 0.25
_REPORT_SECONDS = 2.0

log = structlog.get_logger()


class PlanLoop:
    """Takes plans until the slice is drained."""

    def __init__(
        self,
        runner: Runner[Any],
        follower: Follower,
        channel: EngineChannel,
        compiles_after_warmup: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._follower = follower
        self._channel = channel
        self._compiles_after_warmup = compiles_after_warmup
        self._clock = clock
        self._in_flight: StepHandle | None = None
        self._last_number: int | None = None
        self._steps = 0
        self._step_at = self._report_at = clock()
        self._is_leaving = False

    def run(self) -> None:
        """Run plans until the leader drains the slice. Raises: `HostLostError`."""
        while True:
            message = self._follower.next(timeout_seconds=_LOOK_SECONDS)
            match message:
                case Run(plan):
                    self._start(plan)
                case Drain():
                    break
                case None:
                    self._finish()
                case _:
                    raise HostLostError(f"the leader said {message} where plans were due")
            self._look_after_server()
        self._finish()
        self._follower.say(Drained())

    def _start(self, plan: StepPlan) -> None:
        if self._last_number is not None and plan.number != self._last_number + 1:
            raise HostLostError(f"wanted plan {self._last_number + 1}, found {plan.number}")
        self._last_number = plan.number
        started = self._runner.start(plan)
        self._finish()
        self._in_flight = started

    def _finish(self) -> None:
        """Wait for the step in flight, if there is one."""
        if self._in_flight is not None:
            self._runner.finish(self._in_flight)
            self._in_flight = None
            self._steps += 1
            self._step_at = self._clock()

    def _look_after_server(self) -> None:
        """Pass on that this host should stop; give the server a sign of life."""
        for message in self._channel.receive(timeout_seconds=0):
            if isinstance(message, ServerDrain) and not self._is_leaving:
                self._is_leaving = True
                log.info("engine.leaving")
                self._follower.say(Leaving())
        now = self._clock()
        if now - self._report_at >= _REPORT_SECONDS:
            self._report_at = now
            self._channel.send([self._stats(now)])

    def _stats(self, now: float) -> Stats:
        """Report steps; requests and pages are the leader's to count."""
        zeros = {field.name: 0 for field in msgspec.structs.fields(Stats)}
        report = Stats(**zeros)
        return msgspec.structs.replace(
            report,
            steps=self._steps,
            seconds_since_step=now - self._step_at,
            compiles_after_warmup=self._compiles_after_warmup(),
        )
