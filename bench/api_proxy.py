"""A proxy before the real API server that goes wrong on purpose, and counts an operator's writes.

    operator ──http──> proxy ──https, as the administrator──> kube-apiserver
                         └─ `policy` says of each request what becomes of it

Each operator has a proxy of its own, so that whose write it was is beyond doubt.
"""

import base64
import contextlib
import http.client
import json
import random
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from typing_extensions import override

from radixloom_operator.naming import PLURAL

_FORWARDED = ("Accept", "Content-Type", "User-Agent")
_TIMEOUT_SECONDS = 400


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    """With its query."""

    @property
    def is_watch(self) -> bool:
        """Whether the answer has no end."""
        return "watch=true" in self.path

    @property
    def is_write(self) -> bool:
        """Whether something changes, and not the lease alone."""
        return self.method != "GET" and "/leases" not in self.path

    @property
    def begins_turn(self) -> bool:
        """Whether a turn of the operator begins: it reads the service itself first."""
        return self.method == "GET" and f"/{PLURAL}/" in self.path


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error; nothing is done."""

    status: int


@dataclass(frozen=True, slots=True)
class Lose:
    """Do it, and answer nothing."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Do it, and if that changed something, `kill` who asked; the answer is never heard."""

    kill: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Delay:
    """Do it, and answer late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """End a watch in the middle of a line."""

    after_lines: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Say nothing more on a watch, and keep it open."""

    after_lines: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Expire:
    """Tell a watch that its resourceVersion is too old."""


Fault = Refuse | Lose | Kill | Delay | Cut | Stall | Expire
Policy = Callable[[Asked], Fault | None]


def nothing(_: Asked) -> None:
    """Let every request be."""


class Seeded:
    """Faults by a seed, so many and no more; thread-safe, and as reproducible as threads are."""

    def __init__(self, seed: int, *, rate: float = 0.15, most: int = 60) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._lock = threading.Lock()
        self._left = most
        self.injected: list[str] = []

    def __call__(self, asked: Asked) -> Fault | None:
        """Say what becomes of a request."""
        with self._lock:
            if self._left == 0 or "/leases" in asked.path or self._random.random() > self._rate:
                return None
            self._left -= 1
            fault = self._watch_fault() if asked.is_watch else self._fault()
            self.injected.append(type(fault).__name__)
            return fault

    def _watch_fault(self) -> Fault:
        lines = self._random.randrange(6)
        stall = Stall(lines, self._random.uniform(2, 8))
        return self._random.choice([Cut(lines), stall, Expire(), Refuse(410), Refuse(429)])

    def _fault(self) -> Fault:
        statuses = [Refuse(status) for status in (409, 429, 500)]
        return self._random.choice([*statuses, Lose(), Delay(self._random.uniform(0.1, 1.5))])


def killing(kill: Callable[[], None]) -> Policy:
    """Kill the operator with its first write that is done."""
    return lambda asked: Kill(kill) if asked.is_write else None


class ApiProxy:
    """A proxy that runs; `policy` may be changed at any time."""

    def __init__(self, upstream: str, context: ssl.SSLContext, kubeconfig: Path) -> None:
        self.policy: Policy = nothing
        self.kubeconfig = kubeconfig
        """For the operator."""
        self.writes: list[tuple[float, str]] = []
        """When each write arrived, and what it was."""
        self.turns: list[float] = []
        """When each turn of the operator began."""
        self._host = urlsplit(upstream).netloc
        self._context = context
        self._open: set[http.client.HTTPSConnection] = set()
        self._has_ended = False

    def connect(self) -> http.client.HTTPSConnection:
        """Open a connection to the API server; its thread gives it back."""
        connection = http.client.HTTPSConnection(
            self._host, context=self._context, timeout=_TIMEOUT_SECONDS
        )
        connection.connect()
        self._open.add(connection)
        if self._has_ended:  # a watch that begins now, nobody would end
            self.give_back(connection)
            raise ConnectionAbortedError("the proxy has ended")
        return connection

    def give_back(self, connection: http.client.HTTPSConnection) -> None:
        """Close a connection."""
        self._open.discard(connection)
        connection.close()

    def end_all(self) -> None:
        """Have threads that wait for the API server wait no more."""
        self._has_ended = True
        for one in tuple(self._open):
            if one.sock is not None:
                with contextlib.suppress(OSError):
                    one.sock.shutdown(socket.SHUT_RDWR)

    def note(self, asked: Asked) -> None:
        """Note a request that is passed on."""
        now = time.monotonic()
        if asked.begins_turn:
            self.turns.append(now)
        if asked.is_write:
            self.writes.append((now, f"{asked.method} {asked.path}"))

    def has_rested(self, since: float) -> bool:
        """Tell whether a whole turn of one service wrote nothing, since a `time.monotonic`.

        The next turn's beginning is its end, however slow the machine is.
        """
        last_write = self.writes[-1][0] if self.writes else since
        return sum(began > max(since, last_write) for began in self.turns) > 1


@contextmanager
def api_proxy(kubeconfig: Path) -> Generator[ApiProxy]:
    """Serve a proxy before the API server of an administrator's kubeconfig."""
    document = json.loads(kubeconfig.read_text())
    with tempfile.TemporaryDirectory(prefix="radixloom-proxy-") as folder:
        context = _credentials(document, Path(folder))
        own = Path(folder) / "kubeconfig"
        upstream = document["clusters"][0]["cluster"]["server"]
        proxy = ApiProxy(upstream, context, own)
        server = _Server(proxy)
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{server.server_port}"}
        document["users"][0]["user"] = {"token": "the proxy has the credentials"}
        own.write_text(json.dumps(document))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
            proxy.end_all()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, proxy: ApiProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: operators that are killed break their connections."""


def _credentials(document: dict[str, Any], folder: Path) -> ssl.SSLContext:
    def written(name: str, encoded: str) -> Path:
        path = folder / name
        path.write_bytes(base64.b64decode(encoded))
        return path

    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    authority = written("ca.crt", cluster["certificate-authority-data"])
    context = ssl.create_default_context(cafile=str(authority))
    certificate = written("client.crt", user["client-certificate-data"])
    key = written("client.key", user["client-key-data"])
    context.load_cert_chain(certificate, key)
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    _upstream: http.client.HTTPSConnection | None = None

    @property
    def _proxy(self) -> ApiProxy:
        return cast("_Server", self.server).proxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path)
        fault = self._proxy.policy(asked)
        try:
            self._pass(asked, fault, body)
        except (OSError, http.client.HTTPException):  # a side went away, as they do here
            self.close_connection = True
            self._give_back()

    @override
    def finish(self) -> None:
        """Close both sides."""
        self._give_back()
        with contextlib.suppress(OSError):
            super().finish()

    def _give_back(self) -> None:
        if self._upstream is not None:
            self._proxy.give_back(self._upstream)
            self._upstream = None

    def _pass(self, asked: Asked, fault: Fault | None, body: bytes) -> None:
        match fault:
            case Refuse(status):
                self._answer(status, _status(status))
                return
            case Expire():
                line = json.dumps({"type": "ERROR", "object": json.loads(_status(410))})
                self._answer(200, line.encode() + b"\n")
                return
            case _:
                pass
        self._proxy.note(asked)
        response = self._forward(asked, body)
        if asked.is_watch and response.status == http.HTTPStatus.OK:
            self._stream(response, fault)
            return
        payload = response.read()
        match fault:
            case Kill(kill) if response.status < http.HTTPStatus.BAD_REQUEST:
                kill()
                self.close_connection = True
                return
            case Lose():
                self.close_connection = True
                return
            case Delay(seconds):
                time.sleep(seconds)
            case _:
                pass
        self._answer(response.status, payload)

    def _forward(self, asked: Asked, body: bytes) -> http.client.HTTPResponse:
        headers = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
        self._upstream = self._upstream or self._proxy.connect()
        self._upstream.request(asked.method, asked.path, body or None, headers)
        return self._upstream.getresponse()

    def _answer(self, status: int, payload: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if status == http.HTTPStatus.TOO_MANY_REQUESTS:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(payload)
        self.wfile.flush()

    def _stream(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        """Hand on a watch, line by line; it ends with its connection."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        for number, line in enumerate(response):
            match fault:
                case Cut(after_lines) if number == after_lines:
                    self.wfile.write(line[: len(line) // 2])
                    return
                case Stall(after_lines, seconds) if number == after_lines:
                    time.sleep(seconds)
                    return
                case _:
                    self.wfile.write(line)
                    self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _status(code: int) -> bytes:
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
    document = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reasons[code],
        "message": f"injected {code}",
    }
    return json.dumps(document).encode()
