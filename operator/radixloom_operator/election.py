"""Leading: at most one operator writes, and it is asked before each of its writes.

        follow ──── may take the lease: PUT ────> lead ──── renew every two seconds ──┐
          ^                                        │  ^                               │
          │                                        │  └───────────────────────────────┘
          └── the lease is another's, or not renewed in time (the fence) ─┘

An operator that stood still (SIGSTOP, a suspended machine, a lost network) cannot know what
happened meanwhile. So no message tells it to stop: `fence` asks the clock, which went on. What no
client can close is the moment between that question and the request's way to the API server; a
write that slips through there is one that the new leader would make as well, or is refused for its
uid.

Losing the lease ends nothing: reconciling is level-based, so an operator that leads again starts by
looking at every service.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog

from radixloom_operator import lease
from radixloom_operator.connection import NOT_FOUND, Connection, Manifest
from radixloom_operator.errors import ClusterError, NotLeadingError

log = structlog.stdlib.get_logger()


def _clock() -> float:
    """Return seconds that go on while the process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """A candidate for one Lease. `fence` is for any thread; the rest is for one task."""

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str,
        name: str,
        identity: str,
        pace: lease.Pace,
        clock: Callable[[], float] = _clock,
    ) -> None:
        """Stand for the Lease `namespace`/`name` as `identity`, which no other candidate has."""
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._pace = pace
        self._clock = clock
        self._leads_until_seconds = float("-inf")
        self._has_resigned = False
        self._seen: lease.Sighting | None = None
        # one thread: what is said of the lease is said in order, the last word included
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="election")

    @property
    def is_leading(self) -> bool:
        """Whether a write may be made now."""
        return not self._has_resigned and self._clock() < self._leads_until_seconds

    def fence(self) -> None:
        """Let a write pass while the lease is ours beyond doubt.

        Raises:
            NotLeadingError: it is not.
        """
        if not self.is_leading:
            raise NotLeadingError(
                f"{self._identity} does not hold the lease {self._namespace}/{self._name}, or"
                " could not renew it in time; the operator that holds it does this work"
            )

    async def run(self, *, on_lead: Callable[[], None]) -> None:
        """Stand until cancelled; call `on_lead` whenever the lease becomes ours."""
        was_leading = False
        loop = asyncio.get_running_loop()
        while True:
            leads = await loop.run_in_executor(self._thread, self.try_once)
            if leads and not was_leading:
                log.info("election.leading", identity=self._identity)
                on_lead()
            if was_leading and not leads:
                log.warning("election.lost", identity=self._identity)
            was_leading = leads
            await asyncio.sleep(self._pace.retry_seconds)

    def try_once(self) -> bool:
        """Take or renew the lease if it may be; tell whether a write may be made now."""
        if self._has_resigned:
            return False
        sent = self._clock()
        try:
            if self._take():
                self._leads_until_seconds = sent + self._pace.fence_seconds
            else:
                self._leads_until_seconds = float("-inf")
        except ClusterError as error:
            # No answer, or two at once: what we held holds until its fence.
            log.warning("election.failed", identity=self._identity, error=str(error))
        return self.is_leading

    def resign(self) -> None:
        """Let no more writes pass."""
        self._has_resigned = True

    async def release(self) -> None:
        """Give the lease back, after `resign` and when no write is under way any more.

        Should it fail, the others wait for as long as the lease lasts.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release)

    def _release(self) -> None:
        try:
            found = self._get()
            if found and (found.get("spec") or {}).get("holderIdentity") == self._identity:
                self._put(lease.released(found, now=datetime.now(UTC)))
        except ClusterError as error:
            log.warning("election.not_released", identity=self._identity, error=str(error))

    def _take(self) -> bool:
        """Make the lease ours if it may be; False when another holds it."""
        found = self._get()
        now, seconds = datetime.now(UTC), self._clock()  # after: an answer may be long under way
        if found is None:
            self._create(now)
            return True
        self._seen = lease.sighting(found, self._seen, now_seconds=seconds)
        if not lease.may_take(self._seen, found, identity=self._identity, now_seconds=seconds):
            return False
        self._put(lease.held(found, identity=self._identity, pace=self._pace, now=now))
        return True

    def _get(self) -> Manifest | None:
        try:
            return self._connection.request("GET", self._path, timeout_seconds=self._timeout)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _create(self, now: datetime) -> None:
        collection = self._path.rpartition("/")[0]
        body = lease.new_lease(
            self._namespace, self._name, identity=self._identity, pace=self._pace, now=now
        )
        self._connection.request("POST", collection, body=body, timeout_seconds=self._timeout)

    def _put(self, body: Manifest) -> None:
        self._connection.request("PUT", self._path, body=body, timeout_seconds=self._timeout)

    @property
    def _path(self) -> str:
        return f"/apis/{lease.API_VERSION}/namespaces/{self._namespace}/leases/{self._name}"

    @property
    def _timeout(self) -> tuple[float, float]:
        """A renewal that hangs must leave time for another before the fence falls."""
        return (self._pace.retry_seconds, self._pace.retry_seconds)


class Unopposed:
    """The only operator there is, by the word of whoever started it: it leads until it ends."""

    is_leading = True

    def fence(self) -> None:
        """Let every write pass."""

    async def run(self, *, on_lead: Callable[[], None]) -> None:
        """Lead until cancelled."""
        on_lead()
        await asyncio.Event().wait()

    def resign(self) -> None:
        """Nobody waits for it."""

    async def release(self) -> None:
        """Nothing is held."""
