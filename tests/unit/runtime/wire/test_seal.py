"""Seals: only a host of the slice can make one, and each opens once, in order."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from radixloom_runtime.wire.seal import (
    Direction,
    GapError,
    Header,
    Opener,
    Sealer,
    SealError,
    handshake_key,
    open_seal,
    payload_digest,
    seal,
    session_key,
)

SESSION = bytes(range(16))
KEY = session_key("secret", session=SESSION, nonce=bytes(16), rank=1)


def ends(direction: Direction = Direction.TO_FOLLOWER) -> tuple[Sealer, Opener]:
    return Sealer(KEY, direction, 1, SESSION), Opener(KEY, direction, 1, SESSION)


def test_frames_open_in_the_order_in_which_they_were_sealed():
    sealer, opener = ends()
    for payload in (b"one", b"", b"three"):
        opener.open(sealer.seal(payload_digest(payload)), payload)


def test_a_frame_opens_once():
    sealer, opener = ends()
    sealed = sealer.seal(payload_digest(b"plan"))
    opener.open(sealed, b"plan")
    with pytest.raises(GapError, match="wanted frame 1, found 0"):
        opener.open(sealed, b"plan")


def test_a_lost_frame_is_noticed_with_the_next():
    sealer, opener = ends()
    sealer.seal(payload_digest(b"lost"))
    with pytest.raises(GapError, match="wanted frame 0, found 1"):
        opener.open(sealer.seal(payload_digest(b"plan")), b"plan")


@given(st.binary(max_size=64), st.integers(0, 10**6), st.integers(1, 255))
def test_no_byte_of_seal_or_payload_can_be_changed(payload: bytes, place: int, change: int):
    header = Header(1, Direction.TO_LEADER, 3, SESSION, 7)
    sealed = seal(KEY, header, payload_digest(payload))
    frame = bytearray(sealed + payload)
    frame[place % len(frame)] ^= change
    with pytest.raises(SealError):
        open_seal(KEY, bytes(frame[: len(sealed)]), bytes(frame[len(sealed) :]))


@pytest.mark.parametrize(
    "key",
    [
        handshake_key("secret"),
        session_key("Secret", session=SESSION, nonce=bytes(16), rank=1),
        session_key("secret", session=bytes(16), nonce=bytes(16), rank=1),
        session_key("secret", session=SESSION, nonce=SESSION, rank=1),
        session_key("secret", session=SESSION, nonce=bytes(16), rank=2),
    ],
)
def test_another_secret_session_nonce_or_rank_opens_nothing(key: bytes):
    sealer, _ = ends()
    with pytest.raises(SealError, match="RADIXLOOM_WIRE_SECRET"):
        open_seal(key, sealer.seal(payload_digest(b"plan")), b"plan")


def test_a_frame_is_not_taken_for_one_of_the_other_direction():
    sealer, _ = ends(Direction.TO_LEADER)
    _, opener = ends(Direction.TO_FOLLOWER)
    with pytest.raises(SealError, match="direction"):
        opener.open(sealer.seal(payload_digest(b"plan")), b"plan")


@pytest.mark.parametrize("sealed", [b"", b"x" * 61, b"x" * 63])
def test_what_is_no_seal_is_refused(sealed: bytes):
    with pytest.raises(SealError):
        open_seal(KEY, sealed, b"")
