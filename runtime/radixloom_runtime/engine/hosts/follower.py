"""A follower's end of the slice: finds the leader, takes its plans in order, notices its loss.

    main thread   join ── (Begin) build ── Warm ── next plan, next plan, ... ── Drained
    attendant         └── owns the socket: receives, sends beats and what the main thread says

Only the attendant touches the socket once the host has joined. What it hears goes into a queue; a
loss goes there too, and to `why_lost` for the watchdog, since the main thread may hang in a
collective that will never complete.
"""

import contextvars
import queue
import secrets
import threading
import time

import structlog

from radixloom_runtime.engine.hosts.rhythm import RHYTHM, Rhythm
from radixloom_runtime.engine.hosts.sessions import HostLostError, handshake_frame
from radixloom_runtime.engine.hosts.terms import require_slice_settings, terms_of
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire import seal, slice_messages
from radixloom_runtime.wire.seal import Direction, GapError, Opener, Sealer, SealError
from radixloom_runtime.wire.slice_messages import (
    Beat,
    Begin,
    Drain,
    End,
    FollowerMessage,
    Hello,
    Join,
    LeaderMessage,
    Refused,
    SliceMessageError,
    Welcome,
)
from radixloom_runtime.wire.slice_sockets import FollowerSocket

_POLL_SECONDS = 0.1
_FLUSH_SECONDS = 1.0

log = structlog.get_logger()


class Follower:
    """A host's link to rank 0."""

    def __init__(self, settings: RuntimeSettings, rhythm: Rhythm = RHYTHM) -> None:
        """Nothing is sent yet. Raises: `ConfigurationError`."""
        self._address, self._secret = require_slice_settings(settings)
        self._settings = settings
        self._rhythm = rhythm
        self._socket = FollowerSocket(self._address, settings.plan_port)
        self._said: queue.SimpleQueue[FollowerMessage] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[LeaderMessage | HostLostError] = queue.SimpleQueue()
        self._lost: HostLostError | None = None
        self._is_drained = False
        self._heard_at = self._beat_at = 0.0
        self._closing = threading.Event()
        self._attendant = threading.Thread(
            target=contextvars.copy_context().run,  # what is bound to log lines here
            args=(self._attend,),
            name="slice",
            daemon=True,
        )

    def join(self) -> None:
        """Knock until the leader lets this host in.

        Raises: `ConfigurationError` when no leader comes, or one that must not lead this host.
        """
        began = told_at = time.monotonic()
        log.info("slice.joining", leader=self._address, port=self._settings.plan_port)
        while (welcome := self._knock()) is None:
            now = time.monotonic()
            if now - told_at > self._rhythm.tell:
                told_at = now
                log.info("slice.waiting", leader=self._address, seconds=round(now - began, 1))
            if now - began > self._settings.gather_seconds:
                raise ConfigurationError(
                    f"no leader has answered at {self._address} port {self._settings.plan_port} in"
                    f" {now - began:.0f} s; see the log of rank 0, and whether that name and port"
                    " are its own"
                )
        self._enter(*welcome)
        log.info("slice.joined", leader=self._address)

    def await_begin(self) -> None:
        """Wait until all other hosts have joined too. Raises: `HostLostError`."""
        heard = self.next(timeout_seconds=self._settings.gather_seconds)
        if not isinstance(heard, Begin):
            raise HostLostError(f"wanted the leader to begin, heard {heard or 'nothing'}")

    def say(self, message: FollowerMessage) -> None:
        """Send a message soon."""
        self._said.put(message)

    def next(self, *, timeout_seconds: float) -> LeaderMessage | None:
        """Take what the leader said next, after waiting at most so long.

        Raises: `HostLostError`.
        """
        try:
            heard = self._heard.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if isinstance(heard, HostLostError):
            raise heard
        return heard

    def why_lost(self) -> str | None:
        """Say why this host must end, or None; for any thread."""
        return None if self._lost is None else str(self._lost)

    def end(self, reason: str) -> None:
        """Tell the leader that this host fails; leaves soon, at the latest with `close`."""
        self.say(End(reason))

    def close(self) -> None:
        """Stop; last words still leave."""
        if self._attendant.ident is not None:
            self._closing.set()
            self._attendant.join(_FLUSH_SECONDS)
        self._socket.close()

    # --- before there is a session

    def _knock(self) -> tuple[bytes, bytes] | None:
        """Say Hello once and wait for the answer: the nonce and the session, or None."""
        nonce = secrets.token_bytes(seal.NONCE_BYTES)
        hello = handshake_frame(
            self._secret, Direction.TO_LEADER, self._settings.rank, Hello(nonce)
        )
        until = time.monotonic() + self._rhythm.knock
        if not self._socket.send(hello.sealed, hello.payload):
            time.sleep(_POLL_SECONDS)
            return None
        while (left := until - time.monotonic()) > 0:
            frame = self._socket.receive(timeout_seconds=left)
            if frame is not None and (session := self._answer(nonce, frame)) is not None:
                return nonce, session
        return None

    def _answer(self, nonce: bytes, frame: tuple[bytes, bytes]) -> bytes | None:
        """Read an answer to a Hello. Raises: `ConfigurationError` for a leader not of ours."""
        try:
            header = seal.open_seal(seal.handshake_key(self._secret), *frame)
        except SealError:
            raise ConfigurationError(
                f"the leader at {self._address} has another secret than rank"
                f" {self._settings.rank}; all hosts of a slice need the same RADIXLOOM_WIRE_SECRET"
            ) from None
        answer = slice_messages.decode_from_leader(frame[1])
        if header.direction == Direction.TO_FOLLOWER and header.rank == self._settings.rank:
            match answer:
                case Welcome(told, session) if told == nonce:
                    return session
                case Refused(told, message) if told == nonce:
                    log.info("slice.refused", reason=message)
                case _:  # the answer to an earlier Hello
                    pass
        return None

    def _enter(self, nonce: bytes, session: bytes) -> None:
        """Begin the session: from here on the socket is the attendant's."""
        rank = self._settings.rank
        key = seal.session_key(self._secret, session=session, nonce=nonce, rank=rank)
        self._sealer = Sealer(key, Direction.TO_LEADER, rank, session)
        self._opener = Opener(key, Direction.TO_FOLLOWER, rank, session)
        self._heard_at = time.monotonic()
        self._send(Join(terms_of(self._settings)))
        self._attendant.start()

    # --- the attendant

    def _attend(self) -> None:
        try:
            while self._lost is None and not self._closing.is_set():
                self._attend_once(time.monotonic())
            self._say_all()
        except HostLostError as error:
            self._note(error)
        except Exception as error:  # the host must not go on unattended
            log.exception("slice.defect")
            self._note(HostLostError(f"the follower's attendant failed: {error!r}"))

    def _attend_once(self, now: float) -> None:
        self._say_all()
        if now - self._beat_at >= self._rhythm.beat:
            self._beat_at = now
            self._send(Beat())
        frame = self._socket.receive(timeout_seconds=_POLL_SECONDS)
        while frame is not None:
            self._take(frame)
            frame = self._socket.receive(timeout_seconds=0)
        silence = time.monotonic() - self._heard_at
        if silence > self._rhythm.silence and not self._is_drained:
            raise HostLostError(
                f"nothing was heard of the leader ({self._address}) for {silence:.1f} s"
                f" (limit {self._rhythm.silence:.0f} s); it hangs or is cut off"
            )

    def _take(self, frame: tuple[bytes, bytes]) -> None:
        try:
            self._opener.open(*frame)
        except SealError as error:
            log.warning("slice.refused_frame", reason=str(error))
            return
        except GapError as error:
            raise HostLostError(f"the leader: {error}") from error
        try:
            message = slice_messages.decode_from_leader(frame[1])
        except SliceMessageError as error:
            raise HostLostError(f"the leader: {error}") from error
        self._heard_at = time.monotonic()
        match message:
            case Beat():
                pass
            case End(reason):
                raise HostLostError(f"the leader ended: {reason}")
            case _:
                self._is_drained = isinstance(message, Drain)
                self._heard.put(message)

    def _say_all(self) -> None:
        while not self._said.empty():
            self._send(self._said.get())

    def _send(self, message: FollowerMessage) -> None:
        payload = slice_messages.encode(message)
        sent = self._socket.send(self._sealer.seal(seal.payload_digest(payload)), payload)
        if not sent and not self._is_drained:
            raise HostLostError(
                f"the connection to the leader ({self._address}) is gone; its process has ended"
            )

    def _note(self, lost: HostLostError) -> None:
        self._lost = lost
        log.error("slice.lost", reason=str(lost))
        self._heard.put(lost)
