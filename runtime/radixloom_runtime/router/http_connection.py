"""One HTTP/1.1 connection to a leader, for one request at a time.

httpx waits on every connection of its pool for every request, and its parser is Python: 64 streams
took 70 % of a router's time there (docs/measurements.md). This one parses in C, takes what came
together as one piece, and knows what its failures mean for a second try.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import cast

import httptools
from typing_extensions import override

Headers = list[tuple[bytes, bytes]]

HIGH_WATER_BYTES = 256 * 1024
"""A client that reads more slowly than its leader writes: from here on the leader waits."""

_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class UnreachableError(Exception):
    """No connection: the leader saw nothing of the request."""

    def __init__(self, message: str, *, is_refused: bool) -> None:
        super().__init__(message)
        self.is_refused = is_refused
        """Whether nobody listens there: the leader's process has ended."""


class BrokenError(Exception):
    """The connection ended before an answer began: the leader may have seen the request."""


class CutOffError(Exception):
    """The answer ended in its midst, after parts of it went to the client."""


async def connect(
    host: str, port: int, *, seconds: float, tls: ssl.SSLContext | None
) -> "HttpConnection":
    """Open a connection, a secure one with `tls`. Raises: `UnreachableError`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(HttpConnection, host, port, ssl=tls)
    except TimeoutError:
        raise UnreachableError(f"no connection within {seconds:g} s", is_refused=False) from None
    except OSError as error:
        is_refused = isinstance(error, ConnectionRefusedError)
        raise UnreachableError(str(error), is_refused=is_refused) from error
    return connection


class HttpConnection(asyncio.Protocol):
    """Sends requests and takes answers, one after the other."""

    status = 0
    """Of the answer; 0 until it is there."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._news = asyncio.Event()
        self._pieces: list[bytes] = []
        self._num_buffered = 0
        self._has_no_body = False
        self._is_paused = False
        self._is_complete = True
        self._keeps_alive = True
        self._ended_by: str | None = None

    # --- for the router

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent."""
        is_at_rest = self._is_complete and not self._is_paused
        return is_at_rest and self._keeps_alive and self._ended_by is None

    async def ask(self, head: bytes, body: bytes, *, is_head_request: bool = False) -> None:
        """Send a request and wait for status and headers. Raises: `BrokenError`."""
        self.status, self.headers = 0, []
        self._parser = httptools.HttpResponseParser(self)
        self._pieces, self._num_buffered = [], 0
        self._is_complete, self._keeps_alive = False, False
        self._has_no_body = is_head_request
        if self._transport is not None and self._ended_by is None:
            self._transport.write(head + body)
        while not self.status:
            if self._ended_by is not None:
                raise BrokenError(self._ended_by)
            await self._wait()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give the answer's body as it comes. Raises: `CutOffError`."""
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces, self._num_buffered = [], 0
                self._resume()
                yield piece
            elif self._is_complete:
                return
            elif self._ended_by is not None:
                raise CutOffError(self._ended_by)
            else:
                await self._wait()

    def close(self) -> None:
        """End the connection; an answer under way is aborted."""
        self._keeps_alive = False
        if self._transport is not None:
            self._transport.abort()

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None and self._ended_by is None:
            self._is_paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    # --- for asyncio

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_complete:
            self.close()  # nobody asked: what follows could be taken for the next answer
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"no HTTP: {error}")
            self.close()
        self._news.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.status and not self._is_complete and self._ends_with_connection():
            self._is_complete = exc is None
        self._end(str(exc) if exc else "the connection was closed")
        self._news.set()

    def _end(self, cause: str) -> None:
        self._ended_by = self._ended_by or cause

    def _ends_with_connection(self) -> bool:
        """Whether the body has no length but that of the connection."""
        return not {b"content-length", b"transfer-encoding"} & {name for name, _ in self.headers}

    # --- for the parser; what comes behind the end of the answer is nobody's

    def on_message_begin(self) -> None:
        """Take the beginning of an answer, or of one that nobody asked for."""
        if self._is_complete:
            self._keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if not self._is_complete:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the status, unless it only says that the answer will come."""
        status = self._parser.get_status_code()
        if self._is_complete:
            return
        if status < HTTPStatus.OK:
            self.headers = []
            return
        self.status = status
        if self._has_no_body or status in _BODILESS:
            self._is_complete = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._is_complete:
            return
        self._pieces.append(body)
        self._num_buffered += len(body)
        if self._num_buffered > HIGH_WATER_BYTES and not self._is_paused and self._transport:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        if self.status and not self._is_complete:
            self._is_complete = True
            self._keeps_alive = self._parser.should_keep_alive()
