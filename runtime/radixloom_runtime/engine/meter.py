"""What the engine counts about itself, and when it says so.

step    |──── plan ────|── device: start ──|── device: finish ──|── commit, answer ──|
        step_seconds: all of it          host_seconds: all but the device's
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.wire.messages import Stats

BUSY_SECONDS = 0.25
"""Between reports while steps run: fresh enough for gauges, too rare to cost anything."""
IDLE_SECONDS = 2.0
"""Between reports without any step: a sign of life."""


class Meter:
    """Times steps and makes `Stats`. Read by the watchdog's thread, written by the loop's."""

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Callable[[], float],
        compiles_after_warmup: Callable[[], int],
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._compiles_after_warmup = compiles_after_warmup
        self.steps = 0
        self._step_seconds = 0.0
        self._device_seconds = 0.0
        self._last_step_at = self._last_report_at = clock()
        self._steps_reported = -1
        self._device_since: float | None = None

    @contextmanager
    def step(self) -> Generator[None]:
        """Time a step."""
        began = self._clock()
        yield
        self._last_step_at = self._clock()
        self._step_seconds += self._last_step_at - began

    @contextmanager
    def device(self) -> Generator[None]:
        """Time a call to the runner."""
        began = self._clock()
        self._device_since = began
        yield
        self._device_since = None
        self._device_seconds += self._clock() - began

    def seconds_on_device(self, now: float) -> float:
        """Tell for how long the call to the runner that goes on has gone on; 0 if none does."""
        since = self._device_since
        return 0.0 if since is None else now - since

    def seconds_to_report(self, now: float) -> float:
        """Tell how long until the next report is due."""
        interval = IDLE_SECONDS if self.steps == self._steps_reported else BUSY_SECONDS
        return max(0.0, self._last_report_at + interval - now)

    def is_report_due(self, now: float) -> bool:
        """Whether it is time for `report`."""
        return self.seconds_to_report(now) == 0

    def report(self, now: float) -> Stats:
        """Make a report; the next is due some time after `now`."""
        self._last_report_at = now
        self._steps_reported = self.steps
        scheduler, ledgers, totals = (
            self._scheduler,
            self._scheduler.ledgers,
            self._scheduler.totals,
        )
        page_tokens, speculation = ledgers[0].page_tokens, scheduler.speculation
        return Stats(
            num_running=scheduler.num_running,
            num_waiting=scheduler.num_waiting,
            kv_tokens_used=sum(each.num_used for each in ledgers) * page_tokens,
            kv_tokens_cached=sum(each.num_evictable for each in ledgers) * page_tokens,
            kv_tokens_pinned=scheduler.pinned_pages * page_tokens,
            kv_tokens_host=sum(each.num_on_host for each in ledgers) * page_tokens,
            kv_tokens_total=sum(each.num_pages for each in ledgers) * page_tokens,
            steps=self.steps,
            seconds_since_step=now - self._last_step_at,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            restored_tokens=sum(each.num_restored for each in ledgers) * page_tokens,
            output_tokens=totals.output_tokens,
            preemptions=totals.preemptions,
            expired=totals.expired,
            guessed_tokens=0 if speculation is None else speculation.num_guessed,
            right_guesses=0 if speculation is None else speculation.num_right,
            compiles_after_warmup=self._compiles_after_warmup(),
            step_seconds=self._step_seconds,
            host_seconds=self._step_seconds - self._device_seconds,
        )
