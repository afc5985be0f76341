"""For how long nobody has asked for anything: by this, the last replica may be taken away."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Activity:
    """Counts the requests that are reasons to have a replica.

    While no leader is ready nobody is idle: a replica that took long to start is not to be taken
    away the moment it is ready.
    """

    def __init__(
        self, ready_since: Callable[[], float | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`ready_since` tells since when a leader is ready, by `clock`; None while none is."""
        self._ready_since = ready_since
        self._clock = clock
        self._num_asked = 0
        self._last_end = clock()

    @contextmanager
    def asked(self) -> Generator[None]:
        """Count a request until its answer has ended, held or running."""
        self._num_asked += 1
        try:
            yield
        finally:
            self._num_asked -= 1
            self._last_end = self._clock()

    @property
    def idle_seconds(self) -> float:
        """For how long a leader has been ready without a request."""
        ready_since = self._ready_since()
        if self._num_asked or ready_since is None:
            return 0.0
        return self._clock() - max(self._last_end, ready_since)
