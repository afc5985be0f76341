"""One request to one leader over httpx, and what its failures mean for a second try."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
from starlette.types import Scope

from radixloom_runtime.server.connection import REQUEST_ID_HEADER

CONNECT_SECONDS = 3.0
IDLE_SECONDS = 30.0
"""Idle connections are closed well before a leader closes them (75 s): none is used at its end."""

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"}
)
"""RFC 9110, 7.6.1: they are of one connection, not of the request."""
_REWRITTEN = frozenset({b"host", b"content-length", b"expect", REQUEST_ID_HEADER.encode()})
_OURS = frozenset({b"date"})
"""Written by the HTTP server of the router, too."""


class UnreachableError(Exception):
    """No connection: the leader saw nothing of the request."""


class BrokenError(Exception):
    """The connection ended before an answer began: the leader may have seen the request."""


class CutOffError(Exception):
    """The answer ended in its midst, after parts of it went to the client."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client sent, as it goes to a leader."""

    method: str
    target: bytes
    """Path and query, as they came."""
    headers: Headers
    body: bytes


def asked(scope: Scope, body: bytes, request_id: str) -> Asked:
    """Read a request of an ASGI server; keys, and whatever else is told, go to the leader."""
    query = scope["query_string"]
    headers = _end_to_end(scope["headers"], but=_REWRITTEN)
    headers.append((REQUEST_ID_HEADER.encode(), request_id.encode()))
    target = scope.get("raw_path") or scope["path"].encode()
    return Asked(scope["method"], target + (b"?" + query if query else b""), headers, body)


def client() -> httpx.AsyncClient:
    """Make a client that waits for answers as long as the client does, and takes no proxy."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS
        ),
        trust_env=False,
    )


async def send(client: httpx.AsyncClient, address: str, asked: Asked) -> httpx.Response:
    """Send a request, and return once status and headers of the answer are there.

    Raises: `UnreachableError`, `BrokenError`.
    """
    url = httpx.URL(address).copy_with(raw_path=asked.target)
    request = httpx.Request(asked.method, url, headers=asked.headers, content=asked.body)
    try:
        return await client.send(request, stream=True)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UnreachableError(str(error) or type(error).__name__) from error
    except httpx.TransportError as error:
        raise BrokenError(str(error) or type(error).__name__) from error


def answer_headers(response: httpx.Response) -> Headers:
    """Give an answer's headers as they go to the client."""
    return _end_to_end(response.headers.raw, but=_OURS)


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
