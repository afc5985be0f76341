"""From settings to a runner that is ready: the only way in for the engine.

    config.json ─► ModelConfig ─► weights ─► memory plan ─► KV pool ─► compiled buckets ─► JaxRunner

Nothing heavy is imported before `build_runner` is called, so that a process can say that it lives
before jax does.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from radixloom_runtime.runner import machine
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Ready, Starting

if TYPE_CHECKING:
    from radixloom_runtime.runner.reload import Reload
    from radixloom_runtime.runner.runner import JaxRunner

Progress = Callable[[Starting], None]

_SECONDS_BETWEEN_REPORTS = 0.25
_SECONDS_BETWEEN_LINES = 5.0
_MOST_LINES = 20
"""Of the log, for one phase: loading a large model takes minutes."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuiltRunner:
    """A warm runner, what there is to say about it, its one defect counter, and its new weights."""

    runner: "JaxRunner"
    ready: Ready
    compiles_after_warmup: Callable[[], int]
    reload: "Reload"


def build_runner(settings: RuntimeSettings, progress: Progress) -> BuiltRunner:
    """Load the model of `settings` and compile all that it needs.

    Calls `progress` from this thread, a few times a second.
    Raises: `ModelError`, `CapacityError`, `ConfigurationError`.
    """
    phases = Phases(progress)
    phases.begin("import", 1, "modules")
    machine.skip_absent_tpus(os.environ)
    from radixloom_runtime.runner.assemble import assemble  # jax comes with it

    phases.advance(1)
    built = assemble(settings, phases)
    machine.give_back_freed_memory()
    return built


class Phases:
    """Reports progress of one phase after another, and remembers how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._start = self._phase_start = self._last_report = time.monotonic()
        self._phase, self._total, self._unit = "", 0.0, ""
        self._told_at, self._told_done = 0.0, 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: str, total: float, unit: str) -> None:
        """End the phase before, if any, and begin one."""
        self.end()
        self._phase, self._total, self._unit = phase, total, unit
        self._phase_start = self._told_at = time.monotonic()
        self._told_done = 0.0
        self._report(0)

    def advance(self, done: float) -> None:
        """Say how much of `total` is done; the last one always gets through."""
        now = time.monotonic()
        if done >= self._total or now - self._last_report >= _SECONDS_BETWEEN_REPORTS:
            self._report(done)
        waited = now - self._told_at >= _SECONDS_BETWEEN_LINES
        if done >= self._total or (waited and done - self._told_done >= self._total / _MOST_LINES):
            self._tell(done, now)

    def end(self) -> None:
        """End the last phase; `seconds["total"]` then counts from the first."""
        now = time.monotonic()
        if self._phase:
            self.seconds[self._phase] = now - self._phase_start
        self._phase = ""
        self.seconds["total"] = now - self._start

    def _tell(self, done: float, now: float) -> None:
        """Write a line of progress to the log."""
        self._told_at, self._told_done = now, done
        seconds = now - self._phase_start
        if self._unit == "bytes":
            amounts = {"gb": round(done / 1e9, 2), "of_gb": round(self._total / 1e9, 2)}
            amounts["gb_per_second"] = round(done / 1e9 / max(seconds, 1e-3), 2)
        else:
            amounts = {self._unit: int(done), "of": int(self._total)}
        _log.info(f"start.{self._phase}", seconds=round(seconds, 1), **amounts)

    def _report(self, done: float) -> None:
        self._last_report = time.monotonic()
        self._progress(
            Starting(
                phase=self._phase,
                done=done,
                total=self._total,
                unit=self._unit,
                seconds=self._last_report - self._phase_start,
            )
        )
