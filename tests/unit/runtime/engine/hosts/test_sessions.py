"""Who may join a slice, and what ends it; frames are made as a follower and as strangers would."""

import dataclasses

import pytest

from radixloom_runtime.engine.hosts.sessions import (
    HostLostError,
    Reply,
    Sessions,
    TermsError,
    handshake_frame,
)
from radixloom_runtime.wire import seal, slice_messages
from radixloom_runtime.wire.seal import Direction, Header, Opener, Sealer, SealError
from radixloom_runtime.wire.slice_messages import (
    Beat,
    Begin,
    Drained,
    End,
    Hello,
    Join,
    Leaving,
    Progress,
    Refused,
    Warm,
    Welcome,
)

SECRET = "what only the hosts know"
SESSION = bytes(range(16))
TERMS = {"release": "1"}


def leader(num_hosts: int = 2) -> Sessions:
    return Sessions(SECRET, SESSION, TERMS, num_hosts)


class Host:
    """A follower, frame by frame."""

    def __init__(self, sessions: Sessions, rank: int = 1, *, peer: bytes = b"peer") -> None:
        self.sessions, self.rank, self.peer, self.nonce = sessions, rank, peer, peer.ljust(16)
        key = seal.session_key(SECRET, session=SESSION, nonce=self.nonce, rank=rank)
        self.sealer = Sealer(key, Direction.TO_LEADER, rank, SESSION)
        self.opener = Opener(key, Direction.TO_FOLLOWER, rank, SESSION)

    def hello(self, *, secret: str = SECRET, now: float = 0.0):
        frame = handshake_frame(secret, Direction.TO_LEADER, self.rank, Hello(self.nonce))
        reply = self.sessions.receive(self.peer, "here", frame[1:], now)
        assert reply is not None
        return slice_messages.decode_from_leader(reply.payload)

    def say(self, message, *, now: float = 0.0) -> None:
        payload = slice_messages.encode(message)
        sealed = self.sealer.seal(seal.payload_digest(payload))
        assert self.sessions.receive(self.peer, "here", (sealed, payload), now) is None

    def join(self, *, now: float = 0.0) -> None:
        assert self.hello(now=now) == Welcome(self.nonce, SESSION)
        self.say(Join(TERMS), now=now)

    def hear(self, reply: Reply):
        assert reply.peer == self.peer
        self.opener.open(reply.sealed, reply.payload)
        return slice_messages.decode_from_leader(reply.payload)


def test_a_host_with_the_secret_and_the_same_terms_joins():
    sessions = leader()
    assert sessions.states() == {1: "absent"}
    Host(sessions).join()
    assert sessions.all_joined
    assert sessions.states() == {1: "joined"}


def test_a_hello_alone_is_no_membership():
    sessions = leader()
    Host(sessions).hello()
    assert not sessions.all_joined


def test_another_secret_is_refused_and_ends_nothing():
    sessions = leader()
    with pytest.raises(SealError, match="RADIXLOOM_WIRE_SECRET") as refused:
        Host(sessions).hello(secret="another secret of this length")
    assert SECRET not in str(refused.value)
    Host(sessions).join()


def test_a_recorded_hello_and_join_open_no_later_session():
    recorded = Host(leader())
    recorded.join()
    later = Sessions(SECRET, bytes(16 * [7]), TERMS, 2)
    again = Host(later, peer=recorded.peer)
    again.hello()
    with pytest.raises(SealError):
        again.say(Join(TERMS))
    assert not later.all_joined


def test_hosts_with_other_terms_end_the_slice_and_the_difference_is_told():
    host = Host(leader())
    host.hello()
    with pytest.raises(TermsError, match="release is 1 on rank 0 and 2 on rank 1"):
        host.say(Join({"release": "2"}))


def test_another_version_of_the_wire_ends_the_slice():
    host = Host(leader())
    host.hello()
    key = seal.session_key(SECRET, session=SESSION, nonce=host.nonce, rank=1)
    header = Header(seal.SLICE_WIRE_VERSION + 1, Direction.TO_LEADER, 1, SESSION, 0)
    payload = b"whatever that version says"
    sealed = seal.seal(key, header, seal.payload_digest(payload))
    with pytest.raises(TermsError, match="version 2 of the slice's wire"):
        host.sessions.receive(host.peer, "here", (sealed, payload), 0.0)


def test_a_second_host_of_a_rank_is_refused_while_the_first_is_there():
    sessions = leader()
    Host(sessions).join()
    refused = Host(sessions, peer=b"other").hello()
    assert isinstance(refused, Refused)
    assert "joined already" in refused.message


def test_a_lost_frame_ends_the_slice():
    host = Host(leader())
    host.join()
    host.sealer.seal(b"")
    with pytest.raises(HostLostError, match="wanted frame 1, found 2"):
        host.say(Beat())


def test_a_strangers_frame_in_a_hosts_name_is_dropped():
    host = Host(leader())
    host.join()
    forged = dataclasses.astuple(Header(1, Direction.TO_LEADER, 1, SESSION, 1))
    sealed = seal.seal(b"guess", Header(*forged), seal.payload_digest(b""))
    with pytest.raises(SealError):
        host.sessions.receive(b"stranger", "there", (sealed, b""), 0.0)
    host.say(Beat())


def test_silence_over_the_limit_is_told_with_the_rank():
    sessions = leader(3)
    Host(sessions, 1, peer=b"a").join(now=0)
    Host(sessions, 2, peer=b"b").join(now=4)
    sessions.check_silence(5.0, 5.0)
    with pytest.raises(HostLostError, match=r"rank 1 \(here\) for 6.0 s"):
        sessions.check_silence(6.0, 5.0)


def test_every_frame_of_a_host_counts_as_a_sign_of_life():
    sessions = leader()
    host = Host(sessions)
    host.join(now=0)
    host.say(Beat(), now=9)
    sessions.check_silence(10.0, 5.0)


def test_what_a_host_says_of_itself_is_kept():
    sessions = leader()
    host = Host(sessions)
    host.join()
    host.say(Progress("weights", 5e9, 1e10, "bytes"))
    assert sessions.states() == {1: "weights: 5,000,000,000 of 10,000,000,000 bytes"}
    assert not sessions.all_warm
    host.say(Warm({"num_pages": 7}))
    assert sessions.all_warm
    host.say(Leaving())
    assert sessions.leaving == 1
    host.say(Drained())
    assert sessions.all_drained


def test_the_last_word_of_a_host_is_the_cause():
    host = Host(leader())
    host.join()
    with pytest.raises(HostLostError, match="rank 1 ended: no such model"):
        host.say(End("no such model"))


def test_each_host_can_open_what_goes_to_all():
    sessions = leader(3)
    hosts = {peer: Host(sessions, rank, peer=peer) for rank, peer in ((1, b"a"), (2, b"b"))}
    for host in hosts.values():
        host.join()
    for message in (Begin(), Beat()):
        for reply in sessions.seal_all(message):
            assert hosts[reply.peer].hear(reply) == message


def test_a_frame_that_is_shorter_than_a_seal_is_dropped():
    with pytest.raises(SealError):
        leader().receive(b"peer", "here", (b"short", b""), 0.0)
