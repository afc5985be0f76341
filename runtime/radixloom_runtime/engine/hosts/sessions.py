"""The leader's view of its followers: who may join, who has, and what each of them said. Pure.

    stranger ──Hello──► pending ──Join, terms agree──► joined ──Warm──► warm ──Drained──► drained
                  └ Refused: that rank has joined            │
                                                             └ gap, End, silence: lost, for good

A frame that does not open was sent by somebody else, and is dropped: no stranger can end a slice,
nor can a recorded frame, since each session has a key of its own. What opens and is wrong comes
from a host of ours and ends the slice. Sockets, threads and the clock are the caller's.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from radixloom_runtime.engine.hosts.terms import mismatch
from radixloom_runtime.errors import EngineError
from radixloom_runtime.wire import seal, slice_messages
from radixloom_runtime.wire.seal import Direction, GapError, Header, Opener, Sealer, SealError
from radixloom_runtime.wire.slice_messages import (
    Drained,
    End,
    FollowerMessage,
    Hello,
    Join,
    LeaderMessage,
    Leaving,
    Progress,
    Refused,
    SliceMessageError,
    Warm,
    Welcome,
)

_MAX_PENDING = 1024


class HostLostError(EngineError):
    """A host of the slice is gone or wrong; all others must end too."""


class TermsError(HostLostError):
    """Hosts that must not run together: the user mends it."""


class Reply(NamedTuple):
    """A frame to send."""

    peer: bytes
    sealed: bytes
    payload: bytes


@dataclass(slots=True)
class Session:
    """One follower, from its Hello on."""

    rank: int
    peer: bytes
    address: str
    sealer: Sealer
    opener: Opener
    heard_at: float
    state: str = "joined"
    """For people: joined, a phase of its start, warm, drained."""
    limits: dict[str, int] | None = None
    """Given once warm."""
    is_leaving: bool = False
    is_drained: bool = False


@dataclass(slots=True)
class Sessions:
    """All followers of one leader."""

    secret: str
    session: bytes
    """Drawn by chance at the leader's start."""
    terms: dict[str, str]
    num_hosts: int
    joined: dict[int, Session] = field(default_factory=dict[int, Session])
    _pending: dict[bytes, Session] = field(default_factory=dict[bytes, Session])

    @property
    def all_joined(self) -> bool:
        """Whether every follower takes part."""
        return len(self.joined) == self.num_hosts - 1

    @property
    def all_warm(self) -> bool:
        """Whether every follower is ready to run plans."""
        return self.all_joined and all(one.limits is not None for one in self.joined.values())

    @property
    def all_drained(self) -> bool:
        """Whether nothing runs on any follower."""
        return all(one.is_drained for one in self.joined.values())

    @property
    def leaving(self) -> int | None:
        """A rank that was told to stop."""
        return next((rank for rank, one in self.joined.items() if one.is_leaving), None)

    def states(self) -> dict[int, str]:
        """Tell what each follower does, by rank."""
        ranks = range(1, self.num_hosts)
        return {r: self.joined[r].state if r in self.joined else "absent" for r in ranks}

    def receive(
        self, peer: bytes, address: str, frame: tuple[bytes, bytes], now: float
    ) -> Reply | None:
        """Take a frame, seal and payload; return the answer to a Hello.

        Raises: `SealError` for a frame to be dropped, `HostLostError` where the slice must end.
        """
        header = seal.peek(frame[0])
        if header.session == seal.NO_SESSION:
            return self._greet(peer, address, frame, now)
        if (pending := self._pending.get(peer)) is not None:
            try:
                pending.opener.open(*frame)
            except GapError as error:
                raise SealError(f"no Join: {error}") from error
            self._join(pending, _decoded(header, frame[1]))
            del self._pending[peer]
            return None
        session = self.joined.get(header.rank)
        if session is None:
            raise SealError("a frame of a host that has not joined")
        self._hear(session, header, frame, now)
        return None

    def refusal(self, peer: bytes, sealed: bytes, reason: str) -> Reply | None:
        """Answer a Hello that does not open, so that a host with another secret gives up.

        The answer is sealed with our secret: all that it tells a stranger is that it does not fit.
        """
        if len(sealed) != seal.SEAL_BYTES or seal.peek(sealed).session != seal.NO_SESSION:
            return None
        return self._handshake_reply(peer, seal.peek(sealed).rank, Refused(b"", reason))

    def seal_all(self, message: LeaderMessage) -> list[Reply]:
        """Make the next frame to every follower; the message is written and hashed once."""
        payload = slice_messages.encode(message)
        digest = seal.payload_digest(payload)
        sessions = self.joined.values()
        return [Reply(one.peer, one.sealer.seal(digest), payload) for one in sessions]

    def check_silence(self, now: float, limit: float) -> None:
        """Raises: `HostLostError` where nothing was heard of a follower for too long."""
        for session in self.joined.values():
            silence = now - session.heard_at
            if silence > limit and not session.is_drained:
                raise HostLostError(
                    f"nothing was heard of rank {session.rank} ({session.address}) for"
                    f" {silence:.1f} s (limit {limit:.0f} s); it hangs or is cut off"
                )

    def _greet(self, peer: bytes, address: str, frame: tuple[bytes, bytes], now: float) -> Reply:
        key = seal.handshake_key(self.secret)
        header = seal.open_seal(key, *frame)
        try:
            hello = slice_messages.decode_from_follower(frame[1])
        except SliceMessageError as error:
            raise SealError(str(error)) from error
        if header.direction != Direction.TO_LEADER or not isinstance(hello, Hello):
            raise SealError("a frame of the handshake that is no Hello")
        if header.rank in self.joined:
            reason = (
                f"rank {header.rank} has joined already, from {self.joined[header.rank].address}"
            )
            return self._handshake_reply(peer, header.rank, Refused(hello.nonce, reason))
        key = seal.session_key(
            self.secret, session=self.session, nonce=hello.nonce, rank=header.rank
        )
        self._pending[peer] = Session(
            rank=header.rank,
            peer=peer,
            address=address,
            sealer=Sealer(key, Direction.TO_FOLLOWER, header.rank, self.session),
            opener=Opener(key, Direction.TO_LEADER, header.rank, self.session),
            heard_at=now,
        )
        while len(self._pending) > _MAX_PENDING:  # replayed Hellos, that nobody follows up
            del self._pending[next(iter(self._pending))]
        return self._handshake_reply(peer, header.rank, Welcome(hello.nonce, self.session))

    def _handshake_reply(self, peer: bytes, rank: int, message: LeaderMessage) -> Reply:
        return handshake_frame(self.secret, Direction.TO_FOLLOWER, rank, message, peer)

    def _join(self, session: Session, message: FollowerMessage) -> None:
        if not isinstance(message, Join):
            raise HostLostError(f"rank {session.rank} did not begin with a Join")
        if session.rank in self.joined:
            raise SealError(f"rank {session.rank} has joined in the meantime")
        self.joined[session.rank] = session
        if reason := mismatch(self.terms, message.terms, rank=session.rank):
            raise TermsError(reason)

    def _hear(
        self, session: Session, header: Header, frame: tuple[bytes, bytes], now: float
    ) -> None:
        try:
            session.opener.open(*frame)
            message = _decoded(header, frame[1])
        except (GapError, SliceMessageError) as error:
            raise HostLostError(f"rank {session.rank}: {error}") from error
        session.heard_at = now
        match message:
            case Progress(phase, done, total, unit):
                session.state = f"{phase}: {done:,.0f} of {total:,.0f} {unit}".rstrip()
            case Warm(limits):
                session.state, session.limits = "warm", limits
            case Leaving():
                session.is_leaving = True
            case Drained():
                session.state, session.is_drained = "drained", True
            case End(reason):
                raise HostLostError(f"rank {session.rank} ended: {reason}")
            case Hello() | Join():
                raise HostLostError(f"rank {session.rank} began anew within a session")
            case _:  # Beat
                pass


def handshake_frame(
    secret: str,
    direction: Direction,
    rank: int,
    message: FollowerMessage | LeaderMessage,
    peer: bytes = b"",
) -> Reply:
    """Make a frame outside of any session."""
    payload = slice_messages.encode(message)
    header = Header(seal.SLICE_WIRE_VERSION, direction, rank, seal.NO_SESSION, 0)
    sealed = seal.seal(seal.handshake_key(secret), header, seal.payload_digest(payload))
    return Reply(peer, sealed, payload)


def _decoded(header: Header, payload: bytes) -> FollowerMessage:
    if header.version != seal.SLICE_WIRE_VERSION:
        raise TermsError(
            f"rank {header.rank} speaks version {header.version} of the slice's wire, rank 0"
            f" version {seal.SLICE_WIRE_VERSION}; start every host from the same image"
        )
    return slice_messages.decode_from_follower(payload)
