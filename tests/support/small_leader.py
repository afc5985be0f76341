"""A leader for tests of the router: real HTTP, made-up answers, and faults on command.

Every POST is answered as `mode` says:

    echo     200 with the leader's name and the request's body
    stream   200, a chunk whenever the test calls `tick`, the end when it calls `finish`
    busy     429 with Retry-After        starting  503, as a runtime that loads
    broken   the connection ends before an answer
    cut      a stream of two chunks whose connection ends before its end
"""

import json
import queue
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Seen:
    """One request that a leader was sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class SmallLeader:
    """What it says of itself, and what it was asked."""

    name: str = "leader"
    mode: str = "echo"
    readyz: dict[str, Any] | None = field(default_factory=lambda: {"status": "ready"})
    """None: not ready."""
    models: tuple[str, ...] = ()
    wanted_key: str | None = None
    """Without which it does not list them; None: everybody may ask."""
    num_requests: float | str = 0
    """As its gauges tell."""
    keeps_connections: bool = True
    port: int = 0
    tls: ssl.SSLContext | None = None
    """With which it serves https."""
    seen: list[Seen] = field(default_factory=list)
    model_keys: list[str | None] = field(default_factory=list)
    """With which routers asked for the models."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set once a client has gone from a stream."""
    chunks: "queue.Queue[bytes | None]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def tick(self, chunk: bytes) -> None:
        self.chunks.put(chunk)

    def finish(self) -> None:
        self.chunks.put(None)

    def __enter__(self) -> Self:
        handler = type("Bound", (_Handler,), {"leader": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    leader: ClassVar[SmallLeader]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def do_GET(self) -> None:
        leader = self.leader
        if self.path == "/readyz":
            self._json(200 if leader.readyz is not None else 503, leader.readyz or {})
        elif self.path == "/metrics":
            self._send(200, f"radixloom:num_running_reqs {leader.num_requests}.0\n".encode())
        elif self.path == "/v1/models" and "x-request-id" not in self.headers:  # a router's look
            key = self.headers.get("authorization")
            leader.model_keys.append(key)
            is_let = leader.wanted_key is None or key == f"Bearer {leader.wanted_key}"
            models = {"data": [{"id": name} for name in leader.models]}
            self._json(200, models) if is_let else self._json(401, {})
        else:
            self._note(b"")
            self._echo()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._note(body)
        match self.leader.mode:
            case "echo":
                self._echo()
            case "stream":
                self._stream()
            case "busy":
                self._json(429, {"error": {"code": "queue_full"}}, {"Retry-After": "7"})
            case "starting":
                self._json(503, {"error": {"code": "starting"}}, {"Retry-After": "5"})
            case "broken":
                self.close_connection = True
            case "cut":
                self._begin_stream()
                self._chunk(b"data: 1\n\n")
                self._chunk(b"data: 2\n\n")
                self.close_connection = True
            case mode:
                raise ValueError(mode)

    def _note(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.leader.seen.append(Seen(self.command, self.path, headers, body))

    def _echo(self) -> None:
        seen = self.leader.seen[-1]
        self._json(200, {"leader": self.leader.name, "body": seen.body.decode()})

    def _stream(self) -> None:
        self._begin_stream()
        try:
            while (chunk := self.leader.chunks.get()) is not None:
                self._chunk(chunk)
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.leader.left.set()
            self.close_connection = True

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), headers)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-Request-Id", self.headers.get("x-request-id", ""))
        self.send_header("Content-Length", str(len(content)))
        if not self.leader.keeps_connections:
            self.send_header("Connection", "close")
        try:
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:  # a router that is stopped looks no further
            self.close_connection = True
