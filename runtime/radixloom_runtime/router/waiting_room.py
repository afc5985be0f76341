"""Where requests wait while no leader is ready: scaled to zero, starting, or all lost."""

import asyncio
import time

from radixloom_runtime.router.metrics import RouterMetrics
from radixloom_runtime.server.problems import STARTING_RETRY_SECONDS, UnavailableError


class WaitingRoom:
    """Bounded in requests and in time."""

    def __init__(
        self,
        ready: asyncio.Event,
        metrics: RouterMetrics,
        *,
        max_requests: int,
        max_seconds: float,
    ) -> None:
        """`ready` is set while there is a leader."""
        self._ready = ready
        self._metrics = metrics
        self._max_requests = max_requests
        self._max_seconds = max_seconds
        self._closed = asyncio.Event()
        self.num_waiting = 0

    def close(self) -> None:
        """Send everybody away: the router ends."""
        self._closed.set()

    async def wait(self, seconds_held: float) -> float:
        """Wait until a leader is ready, and return how long it took.

        `seconds_held` is how long the request was held before. Raises: `UnavailableError`.
        """
        if self.num_waiting >= self._max_requests:
            raise self._refusal(
                f"no replica is ready, and {self.num_waiting} requests wait for one already"
            )
        began = time.monotonic()
        self.num_waiting += 1
        try:
            await self._ready_or_closed(self._max_seconds - seconds_held)
        finally:
            self.num_waiting -= 1
            self._metrics.hold_seconds.observe(time.monotonic() - began)
        return time.monotonic() - began

    async def _ready_or_closed(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._ready, self._closed)]
        try:
            await asyncio.wait(
                waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if self._closed.is_set():
            raise self._refusal("this router is shutting down")
        if not self._ready.is_set():
            raise self._refusal(f"no replica was ready within {self._max_seconds:g} s")

    def _refusal(self, message: str) -> UnavailableError:
        self._metrics.refused.labels("no_leader").inc()
        return UnavailableError(
            f"{message}; try again later",
            code="no_replica_ready",
            retry_after_seconds=STARTING_RETRY_SECONDS,
        )
