"""Real HTTP servers on 127.0.0.1 that give a folder's files, and misbehave when told to.

`HubServer` speaks the part of a model hub's protocol that a fetch uses, `BucketServer` that of
Google Cloud Storage's JSON API.
"""

import base64
import hashlib
import json
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Faults:
    """What goes wrong. `cut_after`: bytes of a body after which the connection breaks.

    `status` answers every request; it becomes `status_after_cut` when a connection was cut.
    """

    cut_after: int | None = None
    cuts_left: int = 0
    corrupt_left: int = 0
    busy_left: int = 0
    ignore_ranges: bool = False
    status: int | None = None
    status_after_cut: int | None = None
    wanted_token: str | None = None


@dataclass
class Served:
    """State of one server, and what it was asked."""

    folder: Path
    faults: Faults = field(default_factory=Faults)
    ranges: list[tuple[str, int]] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    address: str = ""

    def take(self, fault: str) -> bool:
        """Use up one of a fault's turns."""
        with self.lock:
            left = getattr(self.faults, fault)
            setattr(self.faults, fault, max(0, left - 1))
        return left > 0


class _Handler(ABC, BaseHTTPRequestHandler):
    served: ClassVar[Served]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def do_GET(self) -> None:
        self.served.requests[urlsplit(self.path).path] += 1
        status = self._refusal()
        if status:
            self._json({"error": {"message": "refused", "code": status}}, status)
        else:
            self.answer(unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query))

    @abstractmethod
    def answer(self, path: str, query: dict[str, list[str]]) -> None:
        """Send what was asked for, when no fault is to be had before it."""

    def _refusal(self) -> int | None:
        wanted = self.served.faults.wanted_token
        if wanted and self.headers.get("Authorization") != f"Bearer {wanted}":
            return 401
        return self.served.faults.status

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name: str) -> None:
        path = self.served.folder / name
        if not path.is_file():
            return self._json({"error": {"message": "no such file"}}, 404)
        if self.served.take("busy_left"):
            return self._json({"error": {"message": "later"}}, 503)
        content = path.read_bytes()
        if self.served.take("corrupt_left"):
            content = bytes([content[0] ^ 0xFF]) + content[1:]
        start, end = self._range(len(content))
        self.served.ranges.append((name, start))
        partial = (start, end) != (0, len(content))
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"} if partial else {}
        return self._body(206 if partial else 200, content[start:end], headers)

    def _range(self, size: int) -> tuple[int, int]:
        asked = self.headers.get("Range")
        if not asked or self.served.faults.ignore_ranges:
            return 0, size
        start, _, last = asked.removeprefix("bytes=").partition("-")
        return int(start), min(int(last) + 1, size) if last else size

    def _body(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        cut_after = self.served.faults.cut_after
        if cut_after is None or len(body) <= cut_after or not self.served.take("cuts_left"):
            return self._send(status, body, headers)
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.served.faults.status = self.served.faults.status_after_cut
        self.wfile.write(body[:cut_after])
        self.wfile.flush()
        self.close_connection = True
        return None


class _Hub(_Handler):
    def answer(self, path: str, query: dict[str, list[str]]) -> None:
        if path.startswith("/api/models/org/tiny/revision/"):
            if path.rpartition("/")[2] not in ("main", "v1"):
                return self._json({"error": "no such revision"}, 404)
            return self._json(self._info())
        prefix = f"/org/tiny/resolve/{COMMIT}/"
        if path.startswith(prefix):
            return self._file(path.removeprefix(prefix))
        return self._json({"error": "no such repository"}, 404)

    def _info(self) -> dict[str, Any]:
        files = [path for path in sorted(self.served.folder.rglob("*")) if path.is_file()]
        siblings = [_sibling(self.served.folder, path) for path in files]
        return {"id": "org/tiny", "sha": COMMIT, "siblings": siblings}


def _sibling(folder: Path, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    about: dict[str, Any] = {
        "rfilename": path.relative_to(folder).as_posix(),
        "size": len(content),
        "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
    }
    if path.suffix == ".safetensors":
        digest = hashlib.sha256(content).hexdigest()
        about["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
    return about


class _Bucket(_Handler):
    def answer(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/storage/v1/b/bucket/o":
            return self._json(self._listing(query.get("prefix", [""])[0]))
        for form in ("/download/storage/v1/b/bucket/o/", "/storage/v1/b/bucket/o/"):
            if path.startswith(form) and query.get("alt") == ["media"]:
                return self._file(path.removeprefix(form).removeprefix("models/tiny/"))
        return self._json({"error": {"message": "no such object", "code": 404}}, 404)

    def _listing(self, prefix: str) -> dict[str, Any]:
        files = [path for path in sorted(self.served.folder.iterdir()) if path.is_file()]
        objects = [_object(path) for path in files]
        items = [about for about in objects if about["name"].startswith(prefix)]
        return {"kind": "storage#objects", "items": items}


def _object(path: Path) -> dict[str, Any]:
    import google_crc32c

    content = path.read_bytes()
    about = {
        "kind": "storage#object",
        "bucket": "bucket",
        "name": f"models/tiny/{path.name}",
        "size": str(len(content)),
        "generation": "7",
        "crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode(),
    }
    if path.suffix != ".safetensors":  # as after a composed upload, which leaves no MD5
        about["md5Hash"] = base64.b64encode(hashlib.md5(content).digest()).decode()
    return about


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent when a client gave up: that is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def hub_server(folder: Path) -> Iterator[Served]:
    """Serve `folder` as the repository `org/tiny`."""
    with _running(_Hub, folder) as served:
        yield served


@contextmanager
def bucket_server(folder: Path) -> Iterator[Served]:
    """Serve `folder` as `gs://bucket/models/tiny`."""
    with _running(_Bucket, folder) as served:
        yield served


@contextmanager
def _running(handler: type[_Handler], folder: Path) -> Iterator[Served]:
    served = Served(folder)
    bound = type("Bound", (handler,), {"served": served})
    server = _Server(("127.0.0.1", 0), bound)
    served.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
