"""Server-sent events, written by hand: a stream's cost per token is mostly here."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from radixloom_runtime.server.connection import disconnected

DONE = b"data: [DONE]\n\n"
"""How OpenAI ends a stream."""

_encoder = msgspec.json.Encoder()


def event(content: object) -> bytes:
    """Return one event with `content` as JSON."""
    return b"data: " + _encoder.encode(content) + b"\n\n"


def named_event(content: msgspec.Struct) -> bytes:
    """Return one event with `content` as JSON, called by the tag of its struct."""
    name = str(content.__struct_config__.tag)
    return b"event: " + name.encode() + b"\n" + event(content)


class SseResponse(Response):
    """A stream of events that ends early when the client goes away."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], on_end: Callable[[], None]) -> None:
        """`on_end` is called once in every case, even if no frame was ever asked for."""
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._on_end = on_end

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._until_end(receive, send)
        finally:
            self._on_end()

    async def _until_end(self, receive: Receive, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        writing = asyncio.ensure_future(self._write(send))
        watching = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait((writing, watching), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            watching.cancel()
            writing.cancel()
            await asyncio.gather(writing, watching, return_exceptions=True)
            await self._frames.aclose()

    async def _write(self, send: Send) -> None:
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
