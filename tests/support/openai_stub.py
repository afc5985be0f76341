"""A real HTTP server that answers as an OpenAI endpoint does, with made-up words.

The client side is what these tests test. Every answer is `words` (one token each); faults make it
refuse, break off, or report an error in the middle of a stream.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass
class OpenAIStub:
    """What it answers, and what it was asked."""

    words: list[str] = field(default_factory=lambda: ["Paris", " is", " nice", "."])
    thoughts: list[str] = field(default_factory=list)
    """Told before the words of a chat."""
    cached_tokens: int = 3
    tokens_at_once: int = 1
    seconds_between: float = 0.0
    status: int = 200
    fail_every: int | None = None
    break_off_after: int | None = None
    error_after: int | None = None
    model: str | None = "stub"
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: dict[str, Any], headers: dict[str, str]) -> int:
        """Count a request in; give its number."""
        with self.lock:
            self.requests.append(request)
            self.headers.append(headers)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            return len(self.requests)

    def end(self) -> None:
        """Count a request out."""
        with self.lock:
            self.running -= 1


class _Handler(BaseHTTPRequestHandler):
    stub: ClassVar[OpenAIStub]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def do_GET(self) -> None:
        models = [{"id": self.stub.model}] if self.stub.model else []
        self._json(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        number = self.stub.begin(json.loads(content), dict(self.headers.items()))
        try:
            self._answer(number)
        except BrokenPipeError:
            pass
        finally:
            self.stub.end()

    def _answer(self, number: int) -> None:
        refused = self.stub.fail_every and number % self.stub.fail_every == 0
        status = 500 if refused else self.stub.status
        if status != 200:
            self._json(status, {"error": {"message": "no tokens today", "type": "server_error"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._stream(self.stub.requests[number - 1])

    def _stream(self, request: dict[str, Any]) -> None:
        is_chat = "messages" in request
        tokens = self._tokens(request)
        for thought in self.stub.thoughts:
            delta = {"index": 0, "delta": {"reasoning_content": thought}}
            self._event({"choices": [delta], "usage": None})
        for start in range(0, len(tokens), self.stub.tokens_at_once):
            if start == self.stub.break_off_after:
                self.close_connection = True
                return
            if start == self.stub.error_after:
                self._event({"error": {"message": "the engine died"}})
                self._end()
                return
            piece = tokens[start : start + self.stub.tokens_at_once]
            self._event({"choices": [_choice(piece, start, is_chat=is_chat)], "usage": None})
            time.sleep(self.stub.seconds_between)
        self._event({"choices": [], "usage": self._usage(request, len(tokens))})
        self._end()

    def _tokens(self, request: dict[str, Any]) -> list[str]:
        wanted = request.get("max_tokens")
        words = self.stub.words
        return [words[i % len(words)] for i in range(wanted)] if wanted else words

    def _usage(self, request: dict[str, Any], num_tokens: int) -> dict[str, Any]:
        prompt = len(request["prompt"]) if "prompt" in request else 10
        details = {"cached_tokens": self.stub.cached_tokens}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": num_tokens,
            "prompt_tokens_details": details,
        }

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())

    def _end(self) -> None:
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _choice(tokens: list[str], start: int, *, is_chat: bool) -> dict[str, Any]:
    text = "".join(tokens)
    if is_chat:
        return {"index": 0, "delta": {"content": text}}
    return {"index": 0, "text": text, "token_ids": list(range(start, start + len(tokens)))}


@contextmanager
def openai_stub(stub: OpenAIStub | None = None) -> Iterator[OpenAIStub]:
    """Run the stub on a free port of 127.0.0.1."""
    stub = stub or OpenAIStub()
    handler = type("Bound", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
