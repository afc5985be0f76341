"""The sockets between the hosts of a slice: a ZMQ ROUTER at the leader, DEALERs at followers.

A frame is two parts, seal and payload. Both ends learn at once when the connection breaks, since
the kernel of a host whose process was killed says so: the ROUTER no longer knows the peer, and the
DEALER, told to queue nothing while unconnected, can send nothing.

No socket here is shared between threads without a lock of its owner's.
"""

from typing import NamedTuple

import zmq

from radixloom_runtime.errors import ConfigurationError

_NO_LIMIT = 0
_MAX_FOLLOWER_FRAME_BYTES = 1 << 20
"""Followers say little; a stranger shall not fill the leader's memory."""
_LAST_WORDS_MILLISECONDS = 1000
_CONNECT_MILLISECONDS = 2000
"""The name of a leader that starts again leads to its old address for a while, where nobody says
no: the kernel would go on trying there for two minutes."""
_QUIET_MILLISECONDS = 15_000
"""Of a connection whose other end went without a word, as with its node. Longer than it takes to
miss a host that has joined: see `engine.hosts`, which says why."""


class Incoming(NamedTuple):
    """A frame at the leader, from whoever it is."""

    peer: bytes
    """What the socket calls the sender."""
    address: str
    seal: bytes
    payload: bytes


class LeaderSocket:
    """Bound on the leader's plan port."""

    def __init__(self, host: str, port: int) -> None:
        """Bind. Raises: `ConfigurationError`."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set_hwm(_NO_LIMIT)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_FOLLOWER_FRAME_BYTES)
        self._socket.setsockopt(zmq.IPV6, int(":" in host))
        try:
            self._socket.bind(f"tcp://{_in_address(host)}:{port}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ConfigurationError(
                f"cannot listen for followers on {host} port {port}: {error};"
                " choose another with --plan-port"
            ) from None

    def send(self, peer: bytes, sealed: bytes, payload: bytes) -> bool:
        """Send without waiting; returns False where the peer is connected no longer."""
        try:
            self._socket.send_multipart([peer, sealed, payload], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EHOSTUNREACH, zmq.EAGAIN}:
                raise
            return False
        return True

    def receive(self) -> Incoming | None:
        """Take the next frame that has come; malformed ones are skipped."""
        while self._socket.poll(0):
            parts = self._socket.recv_multipart(copy=False)
            if len(parts) == 3:
                address = str(parts[2].get("Peer-Address"))
                peer, sealed, payload = (part.bytes for part in parts)
                return Incoming(peer, address, sealed, payload)
        return None

    def close(self) -> None:
        """Close after the last messages have left (at most a second)."""
        self._context.destroy(linger=_LAST_WORDS_MILLISECONDS)


class FollowerSocket:
    """Connects to the leader, again and again, whenever it can be reached."""

    def __init__(self, address: str, port: int) -> None:
        """Begin to connect; names are looked up anew with every attempt."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set_hwm(_NO_LIMIT)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_MILLISECONDS)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, _QUIET_MILLISECONDS // 3)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _QUIET_MILLISECONDS)
        self._socket.setsockopt(zmq.IPV6, int(":" in address))
        self._socket.connect(f"tcp://{_in_address(address)}:{port}")

    def send(self, sealed: bytes, payload: bytes) -> bool:
        """Send without waiting; returns False while there is no connection."""
        try:
            self._socket.send_multipart([sealed, payload], zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, *, timeout_seconds: float) -> tuple[bytes, bytes] | None:
        """Wait for the next seal and payload; malformed frames are skipped."""
        while self._socket.poll(int(timeout_seconds * 1000)):
            parts = self._socket.recv_multipart()
            if len(parts) == 2:
                return parts[0], parts[1]
            timeout_seconds = 0
        return None

    def close(self) -> None:
        """Close after the last messages have left (at most a second)."""
        self._context.destroy(linger=_LAST_WORDS_MILLISECONDS)


def _in_address(host: str) -> str:
    """Write a host as ZMQ addresses want it."""
    if host == "0.0.0.0":  # noqa: S104 - compared, not bound
        return "*"
    return f"[{host}]" if ":" in host else host
