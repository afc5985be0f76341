"""When to come again, told to those who find the queue full: by how fast requests finish."""

from collections import deque

MEMORY_SECONDS = 30.0
"""How far back finished requests are counted."""
DEFAULT_RETRY_SECONDS = 2.0
"""Told before anything has finished."""
LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 1.0
_SHARE = 10
"""A client waits for this part of the queue to go: one place alone would be gone when it comes."""


class CompletionRate:
    """Requests finished a second, lately."""

    def __init__(self) -> None:
        self._finished: deque[tuple[float, int]] = deque()
        self._count = 0

    def note(self, now: float, count: int) -> None:
        """Count requests that finished at `now`."""
        if count:
            self._finished.append((now, count))
            self._count += count
        self._forget(now)

    def retry_after_seconds(self, now: float, num_waiting: int) -> float:
        """Tell in what time a tenth of those who wait will have had their turn."""
        self._forget(now)
        if not self._count:
            return DEFAULT_RETRY_SECONDS
        seconds = max(now - self._finished[0][0], SHORTEST_SECONDS)
        wanted = max(1, num_waiting // _SHARE)
        return min(max(wanted * seconds / self._count, SHORTEST_SECONDS), LONGEST_SECONDS)

    def _forget(self, now: float) -> None:
        while self._finished and self._finished[0][0] < now - MEMORY_SECONDS:
            self._count -= self._finished.popleft()[1]
