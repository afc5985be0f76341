"""Keys waiting to be worked on: each at most once, no two workers on the same one.

    add ──(delay)──> waiting ──> ready ──> worker
                        ^                    │
                        └── again after a pause that doubles, when it failed

A key added while it is being worked on is worked on once more after. Many events of one service in
a short time, as when a slice starts, become one run. Of asyncio alone; knows nothing of Kubernetes.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class WorkQueue(Generic[KeyT]):
    """Deduplicates, delays, serialises per key, and retries."""

    def __init__(
        self,
        work: Callable[[KeyT], Awaitable[bool]],
        *,
        settle_seconds: float = 0.2,
        rest_seconds: float = 1.0,
        first_retry_seconds: float = 1.0,
        longest_retry_seconds: float = 120.0,
    ) -> None:
        """Call `work` for each key; it tells whether the key is settled or must be tried again.

        A key that was added while it was worked on rests: most often that is the echo of the work,
        and there is more to come.
        """
        self._work = work
        self._rest_seconds = rest_seconds
        self._settle_seconds = settle_seconds
        self._first_retry_seconds = first_retry_seconds
        self._longest_retry_seconds = longest_retry_seconds
        self._ready: asyncio.Queue[KeyT] = asyncio.Queue()
        self._waiting: dict[KeyT, asyncio.TimerHandle] = {}
        self._queued: set[KeyT] = set()
        self._running: set[KeyT] = set()
        self._again: set[KeyT] = set()
        self._failures: Counter[KeyT] = Counter()

    def add(self, key: KeyT) -> None:
        """Have `key` worked on shortly."""
        self.add_later(key, self._settle_seconds)

    async def run_worker(self) -> None:
        """Work on keys until cancelled."""
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._running.add(key)
            try:
                is_settled = await self._work(key)
            finally:
                self._running.discard(key)
            self._after(key, is_settled=is_settled)

    def add_later(self, key: KeyT, delay_seconds: float) -> None:
        """Have `key` worked on after a while, or before, should something else ask for it."""
        if key in self._queued:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_seconds
        timer = self._waiting.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._waiting[key] = loop.call_at(due, self._make_ready, key)

    def _make_ready(self, key: KeyT) -> None:
        del self._waiting[key]
        if key in self._running:
            self._again.add(key)
            return
        self._queued.add(key)
        self._ready.put_nowait(key)

    def _after(self, key: KeyT, *, is_settled: bool) -> None:
        is_wanted_again = key in self._again
        self._again.discard(key)
        if is_settled:
            del self._failures[key]
            if is_wanted_again:
                self.add_later(key, self._rest_seconds)
            return
        self._failures[key] += 1
        pause = self._first_retry_seconds * 2 ** (self._failures[key] - 1)
        self.add_later(key, min(pause, self._longest_retry_seconds))
