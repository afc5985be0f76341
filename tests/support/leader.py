"""A leader, or a router, as the operator asks it: /startupz and /metrics over real HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

from radixloom_runtime.metrics import Metrics
from radixloom_runtime.router.metrics import RouterMetrics

REPORT = {
    "start_seconds": {"weights": 12.34, "compile": 5.06, "total": 20.0},
    "num_buckets": 8,
    "compile_cache_hits": 8,
    "something": "else",
}


class Leader:
    """Answers as it is told to; `asked` are the paths that it was asked for."""

    def __init__(self) -> None:
        self.startup: tuple[int, bytes] = (200, json.dumps(REPORT).encode())
        self.metrics: tuple[int, bytes] = (200, Metrics().render())
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def be_busy(self, running: float, waiting: float = 0, kv_share: float = 0) -> None:
        """Tell this load from now on, in the runtime's own words."""
        metrics = Metrics()
        metrics.num_running_reqs.set(running)
        metrics.num_queue_reqs.set(waiting)
        metrics.token_usage.set(kv_share)
        self.metrics = (200, metrics.render())

    def hold(self, requests: float, *, idle_seconds: float = 0) -> None:
        """Tell what a router tells, in the runtime's own words."""
        metrics = RouterMetrics()
        metrics.held_requests.set(requests)
        metrics.idle_seconds.set(idle_seconds)
        self.metrics = (200, metrics.render())

    @contextmanager
    def serving(self) -> Iterator["Leader"]:
        """Answer until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield self
        self._server.shutdown()
        self._server.server_close()
        thread.join()


def _handler(leader: Leader) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            leader.asked.append(self.path)
            status, body = leader.metrics if self.path == "/metrics" else leader.startup
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
