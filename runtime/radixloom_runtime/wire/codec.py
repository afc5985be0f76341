"""Bytes of a frame: one version byte, then a msgpack list of tagged messages.

Several messages travel in one frame because a step finishes many requests at once.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from radixloom_runtime.errors import EngineError
from radixloom_runtime.wire.messages import WIRE_VERSION, EngineMessage, ServerMessage

_T = TypeVar("_T")

_encoder = msgspec.msgpack.Encoder()
_engine_decoder = msgspec.msgpack.Decoder(list[EngineMessage])
_server_decoder = msgspec.msgpack.Decoder(list[ServerMessage])


class WireError(EngineError):
    """A frame of another version, or one that is no list of known messages."""


def encode(messages: Sequence[EngineMessage] | Sequence[ServerMessage]) -> bytes:
    """Make one frame."""
    return bytes([WIRE_VERSION]) + _encoder.encode(messages)


def decode_from_engine(frame: bytes) -> list[EngineMessage]:
    """Read a frame that the engine sent. Raises: `WireError`."""
    return _decode(_engine_decoder, frame)


def decode_from_server(frame: bytes) -> list[ServerMessage]:
    """Read a frame that the server sent. Raises: `WireError`."""
    return _decode(_server_decoder, frame)


def _decode(decoder: msgspec.msgpack.Decoder[_T], frame: bytes) -> _T:
    if not frame or frame[0] != WIRE_VERSION:
        found = frame[0] if frame else "nothing"
        raise WireError(
            f"wanted a frame of wire version {WIRE_VERSION}, found {found};"
            " server and engine must come from the same release"
        )
    try:
        return decoder.decode(memoryview(frame)[1:])
    except msgspec.MsgspecError as error:
        raise WireError(f"a frame is no list of known messages: {error}") from error
