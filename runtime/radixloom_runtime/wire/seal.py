"""Proof that a frame between hosts comes from a host of this slice, once and in order.

    seal     │ version │ direction │ rank │ session │ sequence │ HMAC-SHA256 │
    payload  │ msgpack of one message                                        │

Every frame is sealed, the handshake too. The keys follow from the slice's shared secret, those of
a session also from what both ends drew by chance for it; so a frame of an earlier session, of the
other direction or of another host opens nothing. The seal covers a digest of the payload and not
the payload itself, since a plan goes to every follower and is hashed once.

This authenticates and orders; it does not hide. Token ids cross the slice's own network in clear.
The layout of a seal never changes, so that even a frame of another version can be told for ours.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum

from radixloom_runtime.errors import EngineError

SLICE_WIRE_VERSION = 1
"""Bumped with every change of `slice_messages` that the schema in a Join's terms cannot tell."""

NONCE_BYTES = 16
NO_SESSION = bytes(NONCE_BYTES)
"""Of frames of the handshake."""

_HEADER = struct.Struct(">BBI16sQ")
_MAC_BYTES = hashlib.sha256().digest_size
SEAL_BYTES = _HEADER.size + _MAC_BYTES


class SealError(EngineError):
    """A frame that no host of this slice can have sent: dropped, and told."""


class GapError(EngineError):
    """A frame of ours that is not the next one: something was lost, so the slice must end."""


class Direction(IntEnum):
    """Who speaks to whom."""

    TO_FOLLOWER = 1
    TO_LEADER = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What a seal says of its frame."""

    version: int
    direction: int
    rank: int
    """Of the follower, whichever way the frame goes."""
    session: bytes
    sequence: int


def handshake_key(secret: str) -> bytes:
    """Return the key of frames before there is a session."""
    return hmac.digest(secret.encode(), b"radixloom slice handshake", "sha256")


def session_key(secret: str, *, session: bytes, nonce: bytes, rank: int) -> bytes:
    """Return the key of one follower's session; the leader drew `session`, the follower `nonce`."""
    told = b"radixloom slice session" + session + nonce + rank.to_bytes(4, "big")
    return hmac.digest(secret.encode(), told, "sha256")


def payload_digest(payload: bytes) -> bytes:
    """Return what `seal` covers of a payload."""
    return hashlib.sha256(payload).digest()


def seal(key: bytes, header: Header, digest: bytes) -> bytes:
    """Make the seal of a payload with `digest`."""
    packed = _HEADER.pack(
        header.version, header.direction, header.rank, header.session, header.sequence
    )
    return packed + hmac.digest(key, packed + digest, "sha256")


def peek(sealed: bytes) -> Header:
    """Read a seal without believing it. Raises: `SealError` where it is none."""
    if len(sealed) != SEAL_BYTES:
        raise SealError(f"wanted a seal of {SEAL_BYTES} bytes, found {len(sealed)}")
    return Header(*_HEADER.unpack_from(sealed))


def open_seal(key: bytes, sealed: bytes, payload: bytes) -> Header:
    """Check a seal and read it. Raises: `SealError`."""
    header = peek(sealed)
    wanted = seal(key, header, payload_digest(payload))
    if not hmac.compare_digest(wanted, sealed):
        raise SealError(
            "a frame is not sealed with this slice's secret; all its hosts need the same"
            " RADIXLOOM_WIRE_SECRET"
        )
    return header


class Sealer:
    """One direction of a session, at its sending end: numbers frames from 0."""

    def __init__(self, key: bytes, direction: Direction, rank: int, session: bytes) -> None:
        self._key = key
        self._direction = direction
        self._rank = rank
        self._session = session
        self._next = 0

    def seal(self, digest: bytes) -> bytes:
        """Seal the next frame, whose payload has `digest`."""
        header = Header(SLICE_WIRE_VERSION, self._direction, self._rank, self._session, self._next)
        self._next += 1
        return seal(self._key, header, digest)


class Opener:
    """One direction of a session, at its receiving end: takes frames in order and each once."""

    def __init__(self, key: bytes, direction: Direction, rank: int, session: bytes) -> None:
        self._key = key
        self._expected = (direction, rank, session)
        self._next = 0

    def open(self, sealed: bytes, payload: bytes) -> None:
        """Check the next frame. Raises: `SealError`, `GapError`."""
        header = open_seal(self._key, sealed, payload)
        if (header.direction, header.rank, header.session) != self._expected:
            raise SealError("a frame was sealed for another host, direction or session")
        if header.sequence != self._next:
            raise GapError(
                f"wanted frame {self._next}, found {header.sequence}: a frame was lost or repeated"
            )
        self._next += 1
