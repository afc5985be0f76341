"""Requests to leaders: their headers, and connections that are kept for the next ones."""

import functools
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from radixloom_runtime.router.http_connection import Headers, HttpConnection, connect
from radixloom_runtime.server.connection import REQUEST_ID_HEADER

CONNECT_SECONDS = 3.0
IDLE_SECONDS = 30.0
"""Idle connections are closed well before a leader closes them (75 s): none is used at its end."""

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"}
)
"""RFC 9110, 7.6.1: they are of one connection, not of the request."""
_REWRITTEN = frozenset({b"host", b"content-length", b"expect", REQUEST_ID_HEADER.encode()})
_OURS = frozenset({b"date"})
"""Written by the HTTP server of the router, too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client sent, as it goes to a leader."""

    method: str
    target: bytes
    """Path and query, as they came."""
    headers: Headers
    body: bytes

    def head(self, host: str) -> bytes:
        """Write all but the body."""
        lines = [
            self.method.encode() + b" " + self.target + b" HTTP/1.1",
            b"host: " + host.encode(),
        ]
        lines += [name + b": " + value for name, value in self.headers]
        if self.body or self.method == "POST":
            lines.append(b"content-length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n"


def asked(scope: Scope, body: bytes, request_id: str) -> Asked:
    """Read a request of an ASGI server; keys, and whatever else is told, go to the leader."""
    query = scope["query_string"]
    headers = _end_to_end(scope["headers"], but=_REWRITTEN)
    headers.append((REQUEST_ID_HEADER.encode(), request_id.encode()))
    target = scope.get("raw_path") or scope["path"].encode()
    return Asked(scope["method"], target + (b"?" + query if query else b""), headers, body)


class Answer:
    """A leader's answer, its body unread; to be closed."""

    def __init__(self, connection: HttpConnection, keep: Callable[[HttpConnection], None]) -> None:
        """`keep` takes a connection that may be used again."""
        self._connection = connection
        self._keep = keep

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self._connection.status

    @property
    def headers(self) -> Headers:
        """Return the headers as they go to the client."""
        return _end_to_end(self._connection.headers, but=_OURS)

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give the body as it comes. Raises: `CutOffError`."""
        return self._connection.pieces()

    def close(self) -> None:
        """Keep the connection where the answer was read to its end, else end it."""
        if self._connection.is_reusable:
            self._keep(self._connection)
        else:
            self._connection.close()


@dataclass(frozen=True, slots=True)
class _Idle:
    connection: HttpConnection
    since: float


class Upstream:
    """Connections to all leaders; those that idle wait for the next request to the same one."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """`tls` says whom to trust by https; without it, there must be no such leader."""
        self._tls = tls
        self._idle: dict[str, deque[_Idle]] = {}

    async def send(self, address: str, asked: Asked) -> Answer:
        """Send a request, and return once status and headers of the answer are there.

        Raises: `UnreachableError`, `BrokenError`.
        """
        parts = urlsplit(address)
        idle = self._idle.setdefault(address, deque())
        connection = _take(idle) or await connect(
            parts.hostname or "",
            parts.port or (443 if parts.scheme == "https" else 80),
            seconds=CONNECT_SECONDS,
            tls=self._tls if parts.scheme == "https" else None,
        )
        try:
            head = asked.head(parts.netloc)
            await connection.ask(head, asked.body, is_head_request=asked.method == "HEAD")
        except BaseException:
            connection.close()
            raise
        return Answer(connection, functools.partial(self._keep, address))

    async def get(
        self, address: str, path: str, headers: Headers | None = None
    ) -> tuple[int, bytes]:
        """Get a small answer whole. Raises: as `send`, and `CutOffError`."""
        answer = await self.send(address, Asked("GET", path.encode(), headers or [], b""))
        try:
            return answer.status, b"".join([piece async for piece in answer.pieces()])
        finally:
            answer.close()

    def _keep(self, address: str, connection: HttpConnection) -> None:
        if address in self._idle:
            self._idle[address].append(_Idle(connection, time.monotonic()))
        else:
            connection.close()

    def tidy(self, addresses: Iterable[str]) -> None:
        """Close what idled for too long, or leads to none of `addresses`."""
        known, oldest = set(addresses), time.monotonic() - IDLE_SECONDS
        for address, idle in list(self._idle.items()):
            while idle and (address not in known or idle[0].since < oldest):
                idle.popleft().connection.close()
            if address not in known:
                del self._idle[address]

    def close(self) -> None:
        """Close all that idles."""
        self.tidy(())


def _take(idle: "deque[_Idle]") -> HttpConnection | None:
    """Take the connection that idled the least, if it is still good."""
    while idle:
        found = idle.pop()
        if found.connection.is_reusable and found.since > time.monotonic() - IDLE_SECONDS:
            return found.connection
        found.connection.close()
    return None


def _end_to_end(
    headers: Iterable[tuple[bytes, bytes]], but: frozenset[bytes] = frozenset()
) -> Headers:
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in pairs
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in pairs if name not in _HOP_BY_HOP | named | but]
