"""The leader's end of the slice: gathers the followers, sends them every plan, notices losses.

    main thread      gather ── build ── await_warm ── publish n, n+1, ... ── drain
    attendant        ── every 50 ms: take what came, send beats, look for silence ──────

Both use the socket, each under the lock and never for long. The attendant only notes that a host is
lost; the main thread finds it with its next call, and the engine's watchdog ends a process whose
main thread finds nothing because it hangs in a collective that will never complete.
"""

import contextvars
import secrets
import threading
import time
from collections.abc import Callable

import structlog

from radixloom_runtime.engine.hosts.rhythm import RHYTHM, Rhythm
from radixloom_runtime.engine.hosts.sessions import HostLostError, Reply, Sessions, TermsError
from radixloom_runtime.engine.hosts.terms import require_slice_settings, terms_of
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire import seal
from radixloom_runtime.wire.plan import StepPlan
from radixloom_runtime.wire.seal import SealError
from radixloom_runtime.wire.slice_messages import Beat, Begin, Drain, End, LeaderMessage, Run
from radixloom_runtime.wire.slice_sockets import Incoming, LeaderSocket

_ATTEND_SECONDS = 0.05
_SECONDS_BETWEEN_WARNINGS = 1.0

log = structlog.get_logger()


class Leader:
    """Rank 0's link to all other hosts."""

    def __init__(self, settings: RuntimeSettings, rhythm: Rhythm = RHYTHM) -> None:
        """Listen. Raises: `ConfigurationError`."""
        _, secret = require_slice_settings(settings)
        self._settings = settings
        self._rhythm = rhythm
        self._sessions = Sessions(
            secret=secret,
            session=secrets.token_bytes(seal.NONCE_BYTES),
            terms=terms_of(settings),
            num_hosts=settings.num_hosts,
        )
        self._socket = LeaderSocket(settings.host, settings.plan_port)
        self._lock = threading.Lock()
        self._lost: HostLostError | None = None
        self._beat_at = 0.0
        self._warned_at = -_SECONDS_BETWEEN_WARNINGS
        self._closing = threading.Event()
        self._attendant = threading.Thread(
            target=contextvars.copy_context().run,  # what is bound to log lines here
            args=(self._attend,),
            name="slice",
            daemon=True,
        )
        self._attendant.start()

    def gather(self, tell: Callable[[dict[int, str]], object]) -> None:
        """Wait until every follower has joined, then let all begin; `tell` hears who is there.

        Raises: `HostLostError`, `ConfigurationError` when hosts differ or do not come.
        """
        log.info("slice.gathering", hosts=self._settings.num_hosts, port=self._settings.plan_port)
        limit = self._settings.gather_seconds
        if not self._wait(lambda: self._sessions.all_joined, limit, tell):
            absent = [rank for rank, state in self.states().items() if state == "absent"]
            raise ConfigurationError(
                f"ranks {absent} of {self._settings.num_hosts} hosts have not joined in"
                f" {limit:.0f} s; see their logs, and whether they reach port"
                f" {self._settings.plan_port} of {self._settings.leader_address}"
            )
        self._send(Begin())
        log.info("slice.gathered", hosts=self._settings.num_hosts)

    def await_warm(self, limits: dict[str, int], tell: Callable[[dict[int, str]], object]) -> None:
        """Wait until every follower is ready for plans within `limits`. Raises: `HostLostError`."""
        self._wait(lambda: self._sessions.all_warm, float("inf"), tell)
        for rank, session in self._sessions.joined.items():
            if session.limits != limits:
                raise HostLostError(
                    f"rank {rank} was built for {session.limits}, rank 0 for {limits}; give"
                    " --kv-cache-tokens, so that it does not depend on a host's free memory"
                )

    def publish(self, plan: StepPlan) -> None:
        """Send a plan to every follower. Raises: `HostLostError`."""
        self._send(Run(plan))

    def states(self) -> dict[int, str]:
        """Tell what each follower does, by rank."""
        with self._lock:
            return self._sessions.states()

    def leaving(self) -> int | None:
        """Return a rank that was told to stop, if there is one."""
        return self._sessions.leaving

    def why_lost(self) -> str | None:
        """Say why the slice must end, or None; for any thread."""
        return None if self._lost is None else str(self._lost)

    def drain(self) -> None:
        """Tell the followers that no more plans come, and wait until they are done."""
        self._send(Drain())
        if not self._wait(lambda: self._sessions.all_drained, self._rhythm.drain):
            log.warning("slice.drain_incomplete", followers=self.states())

    def end(self, reason: str) -> None:
        """Tell the followers that this host fails, as far as they are there to hear it."""
        with self._lock:
            self._deliver(self._sessions.seal_all(End(reason)))

    def close(self) -> None:
        """Stop; last words still leave."""
        self._closing.set()
        self._attendant.join()
        self._socket.close()

    def _wait(
        self,
        is_done: Callable[[], bool],
        limit_seconds: float,
        tell: Callable[[dict[int, str]], object] = lambda _: None,
    ) -> bool:
        """Wait for the attendant to hear it; log now and then. Returns False after the limit."""
        began = told_at = time.monotonic()
        while not is_done():
            self.check()
            now = time.monotonic()
            if now - began > limit_seconds:
                return False
            states = self.states()
            tell(states)
            if now - told_at > self._rhythm.tell:
                told_at = now
                log.info("slice.waiting", followers=states, seconds=round(now - began, 1))
            time.sleep(_ATTEND_SECONDS)
        self.check()
        tell(self.states())
        return True

    def _send(self, message: LeaderMessage) -> None:
        """Send to all followers. Raises: `HostLostError`."""
        self.check()
        with self._lock:
            self._deliver(self._sessions.seal_all(message))
        self.check()

    def check(self) -> None:
        """Raises: `HostLostError`; `ConfigurationError` where hosts must not run together."""
        if isinstance(self._lost, TermsError):
            raise ConfigurationError(str(self._lost)) from self._lost
        if self._lost is not None:
            raise self._lost

    def _deliver(self, replies: list[Reply]) -> None:
        """Send frames, and note whose connection is gone; the lock is held."""
        gone = {reply.peer for reply in replies if not self._socket.send(*reply)}
        for session in self._sessions.joined.values():
            if session.peer in gone and not session.is_drained:
                self._note(
                    HostLostError(
                        f"the connection to rank {session.rank} ({session.address}) is gone;"
                        " its process has ended"
                    )
                )

    def _note(self, lost: HostLostError) -> None:
        """Keep the first loss: what follows is its consequence."""
        if self._lost is None:
            self._lost = lost
            log.error("slice.lost", reason=str(lost))

    def _attend(self) -> None:
        while self._lost is None and not self._closing.wait(_ATTEND_SECONDS):
            try:
                with self._lock:
                    self._attend_once(time.monotonic())
            except HostLostError as error:
                self._note(error)
            except Exception as error:  # the slice must not go on unattended
                log.exception("slice.defect")
                self._note(HostLostError(f"the leader's attendant failed: {error!r}"))
        if self._lost is not None:
            self.end(str(self._lost))

    def _attend_once(self, now: float) -> None:
        while (incoming := self._socket.receive()) is not None:
            self._take(incoming, now)
        if now - self._beat_at >= self._rhythm.beat:
            self._beat_at = now
            self._deliver(self._sessions.seal_all(Beat()))
        self._sessions.check_silence(now, self._rhythm.silence)

    def _take(self, incoming: Incoming, now: float) -> None:
        frame = (incoming.seal, incoming.payload)
        before = set(self._sessions.joined)
        try:
            reply = self._sessions.receive(incoming.peer, incoming.address, frame, now)
        except SealError as error:
            self._warn(incoming.address, str(error), now)
            reply = self._sessions.refusal(incoming.peer, incoming.seal, str(error))
        if reply is not None:
            self._socket.send(*reply)
        for rank in set(self._sessions.joined) - before:
            log.info("slice.joined", rank=rank, address=incoming.address)

    def _warn(self, address: str, reason: str, now: float) -> None:
        """Tell of a refused frame, seldom enough for a stranger not to fill the log."""
        if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            log.warning("slice.refused_frame", address=address, reason=reason)
