import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from radixloom_runtime.server import sse
from radixloom_runtime.server.sse import SseResponse


class Connection:
    """A client that stays for so many frames."""

    def __init__(self, *, frames_until_gone: int = 1000) -> None:
        self.sent: list[Message] = []
        self.ended = 0
        self._gone = asyncio.Event()
        self._frames_left = frames_until_gone

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self._frames_left -= 1
        if self._frames_left <= 0:
            self._gone.set()
        await asyncio.sleep(0)

    async def play(self, frames: AsyncGenerator[bytes, None]) -> None:
        response = SseResponse(frames, on_end=self._end)
        await response({"type": "http"}, self.receive, self.send)

    def _end(self) -> None:
        self.ended += 1

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def _count(limit: int) -> AsyncGenerator[bytes, None]:
    for number in range(limit):
        yield sse.event(number)


def test_a_stream_is_told_to_its_end():
    async def scene() -> Connection:
        connection = Connection()
        await connection.play(_count(3))
        return connection

    connection = asyncio.run(scene())
    assert connection.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert connection.sent[-1]["more_body"] is False
    headers = dict(connection.sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in headers
    assert connection.ended == 1


def test_a_stream_ends_when_the_client_goes_away():
    async def scene() -> Connection:
        connection = Connection(frames_until_gone=5)
        await asyncio.wait_for(connection.play(_count(10**9)), 10)
        return connection

    connection = asyncio.run(scene())
    assert len(connection.sent) < 100
    assert connection.ended == 1


def test_a_stream_that_never_begins_is_ended_too():
    async def scene() -> Connection:
        connection = Connection()
        playing = asyncio.ensure_future(connection.play(_count(3)))
        await asyncio.sleep(0)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
        return connection

    assert asyncio.run(scene()).ended == 1


def test_a_defect_in_the_frames_is_not_hidden():
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ZeroDivisionError

    async def scene() -> None:
        await Connection().play(broken())

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scene())
