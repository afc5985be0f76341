"""The socket between server and engine: one ZMQ PAIR over a Unix socket in a private folder.

The server binds and starts the engine, which connects; so the address is known before the engine
lives, and a dead engine leaves nothing that a second one could collide with.
"""

from collections.abc import Sequence
from pathlib import Path

import zmq
import zmq.asyncio

from radixloom_runtime.wire import codec
from radixloom_runtime.wire.messages import EngineMessage, ServerMessage

_NO_LIMIT = 0
"""A slow reader must not block the step loop; the queue is bounded by max_queued_requests."""


def address_in(folder: Path) -> str:
    """Return the channel's address inside `folder`, which only this user may enter."""
    return f"ipc://{folder / 'engine.sock'}"


class ServerChannel:
    """The server's end; for use inside one asyncio loop."""

    def __init__(self, address: str) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.set_hwm(_NO_LIMIT)
        self._socket.bind(address)

    async def send(self, *messages: ServerMessage) -> None:
        """Send messages in one frame."""
        await self._socket.send(codec.encode(messages))

    async def receive(self) -> list[EngineMessage]:
        """Wait for the next frame. Raises: `WireError`."""
        return codec.decode_from_engine(await self._socket.recv())

    def close(self) -> None:
        """Close at once; what was not sent is dropped."""
        self._context.destroy(linger=0)


class EngineChannel:
    """The engine's end; for use in one thread."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.set_hwm(_NO_LIMIT)
        self._socket.connect(address)

    def send(self, messages: Sequence[EngineMessage]) -> None:
        """Send messages in one frame; nothing for none."""
        if messages:
            self._socket.send(codec.encode(messages))

    def receive(self, *, timeout_seconds: float) -> list[ServerMessage]:
        """Take all that has come, after waiting at most `timeout_seconds` for the first frame.

        Raises: `WireError`.
        """
        if not self._socket.poll(int(timeout_seconds * 1000)):
            return []
        messages = codec.decode_from_server(self._socket.recv())
        while self._socket.poll(0):
            messages += codec.decode_from_server(self._socket.recv())
        return messages

    def close(self) -> None:
        """Close after the last messages have left (at most a second)."""
        self._context.destroy(linger=1000)
