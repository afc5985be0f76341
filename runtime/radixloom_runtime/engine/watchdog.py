"""A thread that ends the process when its parent or a host is gone, or a step never ends.

All leave the main thread unable to notice: it may be inside the device's runtime for good. So
the thread ends the process with `os._exit`, after the caller's last words.

The parent is watched by comparing process ids. The kernel's parent-death signal would tell sooner,
but is tied to the *thread* that started us, and may come while the parent is alive.

A process that stands still as a whole has a watchdog that does, too: that is for the parent to
notice, by the pulse that this thread gives (`wire.pulse`).
"""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

import structlog

from radixloom_runtime.wire.pulse import BEAT_SECONDS, Pulse

log = structlog.get_logger()

STEP_LIMIT_SECONDS = 300.0
"""A step takes milliseconds; one that must first compile (warm-up was turned off) minutes."""


PEERS_LOST_SECONDS = 1.5
"""A lost host is the main thread's to tell, as long as it can."""


class Watchdog:
    """Checks every half second; `last_words` tells the server why a hanging step ends it."""

    def __init__(
        self,
        *,
        parent_pid: int,
        seconds_on_device: Callable[[], float],
        peers_lost: Callable[[], str | None] = lambda: None,
        pulse: Pulse,
        last_words: Callable[[str], None],
        exit_code: int,
        step_limit_seconds: float = STEP_LIMIT_SECONDS,
    ) -> None:
        self._parent_pid = parent_pid
        self._seconds_on_device = seconds_on_device
        self._peers_lost = peers_lost
        self._pulse = pulse
        self._last_words = last_words
        self._exit_code = exit_code
        self._step_limit_seconds = step_limit_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, before an ordinary end."""
        self._stopped.set()
        self._thread.join()
        self._pulse.close()

    def parent_is_gone(self) -> str | None:
        """Tell that there is nobody left to serve."""
        if os.getppid() == self._parent_pid:
            return None
        return f"the server (process {self._parent_pid}) is gone"

    def step_hangs(self) -> str | None:
        """Tell that a step takes far too long."""
        seconds = self._seconds_on_device()
        if seconds <= self._step_limit_seconds:
            return None
        return (
            f"a step has not ended for {seconds:.0f} s (limit {self._step_limit_seconds:.0f} s);"
            " the device or its runtime hangs, so the engine must be started anew"
        )

    def _watch(self) -> None:
        seconds_lost = 0.0
        self._pulse.beat()
        while not self._stopped.wait(BEAT_SECONDS):
            self._pulse.beat()
            if reason := self._peers_lost():
                seconds_lost += BEAT_SECONDS
                if seconds_lost >= PEERS_LOST_SECONDS:
                    self._end(reason, say=self._last_words)
            if reason := self.parent_is_gone():
                self._end(reason, say=lambda _: None)  # nobody hears
            if reason := self.step_hangs():
                self._end(reason, say=self._last_words)

    def _end(self, reason: str, *, say: Callable[[str], None]) -> NoReturn:
        try:
            log.error("engine.ended_by_watchdog", reason=reason)
            say(reason)
        finally:
            os._exit(self._exit_code)
