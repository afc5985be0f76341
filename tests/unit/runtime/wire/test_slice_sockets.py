"""The sockets of a slice's hosts, where the address of a leader is one that nobody answers at."""

import contextlib
import socket

import zmq
from zmq.utils.monitor import recv_monitor_message

from radixloom_runtime.wire.slice_sockets import FollowerSocket, LeaderSocket

PATIENCE_SECONDS = 30


@contextlib.contextmanager
def silent_port():
    """Yield a port where connecting is neither taken nor refused, as at a pod that is gone.

    The kernel drops who comes when the queue of those not yet accepted is full.
    """
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


def test_a_follower_soon_looks_again_for_a_leader_where_nobody_answers():
    with silent_port() as port:
        follower = FollowerSocket("127.0.0.1", port)
        monitor = follower._socket.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED)
        assert monitor.poll(PATIENCE_SECONDS * 1000), "else it takes the kernel's two minutes"
        assert recv_monitor_message(monitor)["event"] == zmq.EVENT_CONNECT_RETRIED
        follower._socket.disable_monitor()
        follower.close()


def test_a_follower_that_came_first_is_heard_once_there_is_a_leader():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    follower = FollowerSocket("127.0.0.1", port)
    assert not follower.send(b"seal", b"nobody is there")
    leader = LeaderSocket("127.0.0.1", port)
    while not follower.send(b"seal", b"hello"):
        pass
    while (heard := leader.receive()) is None:
        pass
    assert (heard.seal, heard.payload, heard.address) == (b"seal", b"hello", "127.0.0.1")
    assert leader.send(heard.peer, b"seal", b"welcome")
    assert follower.receive(timeout_seconds=PATIENCE_SECONDS) == (b"seal", b"welcome")
    follower.close()
    leader.close()
