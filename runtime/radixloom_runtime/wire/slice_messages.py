"""What the hosts of a slice say to each other, as msgspec structs; each frame holds one.

    follower (rank r)            leader (rank 0)
        Hello               ─────►                        every second, until answered
                            ◄─────   Welcome or Refused
        Join                ─────►                        from here on frames are numbered
                            ◄─────   Begin                all have joined: load, compile
        Progress ..., Warm  ─────►
                            ◄─────   Run n, Run n+1 ...
        Leaving             ─────►                        this host was told to stop
                            ◄─────   Drain                no more plans follow
        Drained             ─────►
        Beat, End           ◄────►   Beat, End            at any time

`End` is the last word of a host that cannot go on; whoever hears it ends too.
"""

import hashlib

import msgspec

from radixloom_runtime.errors import EngineError
from radixloom_runtime.wire.plan import StepPlan


class Hello(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Ask to join. This and `Welcome` never change, so that every version can tell its own."""

    nonce: bytes


class Welcome(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Take part in `session`; the answer to the Hello with `nonce`."""

    nonce: bytes
    session: bytes


class Refused(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Not now: ask again later. The answer to the Hello with `nonce`."""

    nonce: bytes
    message: str


class Join(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The first frame of the session: only a host that is there now can have sealed it.

    `terms` must equal the leader's: see `engine.hosts.terms`.
    """

    terms: dict[str, str]


class Begin(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Every host has joined; start the devices' own network and load."""


class Progress(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """How far this host's start is; fields as in `messages.Starting`."""

    phase: str
    done: float
    total: float
    unit: str


class Warm(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """This host is ready to run plans within `limits`, which must equal the leader's."""

    limits: dict[str, int]


class Run(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Start the next step."""

    plan: StepPlan


class Beat(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A sign of life."""


class Leaving(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """This host was told to stop: please drain the slice."""


class Drain(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The slice is done: finish what runs and exit 0."""


class Drained(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Nothing runs here any more."""


class End(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """This host is about to exit with a failure."""

    reason: str


FollowerMessage = Hello | Join | Progress | Warm | Beat | Leaving | Drained | End
LeaderMessage = Welcome | Refused | Begin | Run | Beat | Drain | End

_encoder = msgspec.msgpack.Encoder()
_from_follower = msgspec.msgpack.Decoder(FollowerMessage)
_from_leader = msgspec.msgpack.Decoder(LeaderMessage)

SCHEMA = hashlib.sha256(
    repr(msgspec.inspect.multi_type_info((FollowerMessage, LeaderMessage))).encode()
).hexdigest()[:16]
"""Tells builds apart whose messages or plans differ, also between releases."""


class SliceMessageError(EngineError):
    """A sealed frame that is no known message: the hosts run different builds."""


def encode(message: FollowerMessage | LeaderMessage) -> bytes:
    """Write a message."""
    return _encoder.encode(message)


def decode_from_follower(payload: bytes) -> FollowerMessage:
    """Read what a follower wrote. Raises: `SliceMessageError`."""
    try:
        return _from_follower.decode(payload)
    except msgspec.MsgspecError as error:
        raise SliceMessageError(f"a frame is no message of a follower: {error}") from error


def decode_from_leader(payload: bytes) -> LeaderMessage:
    """Read what a leader wrote. Raises: `SliceMessageError`."""
    try:
        return _from_leader.decode(payload)
    except msgspec.MsgspecError as error:
        raise SliceMessageError(f"a frame is no message of a leader: {error}") from error
