"""The server in a thread of the test, with an engine process that the test chooses."""

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from support.threaded_server import WAIT_SECONDS, ThreadedServer
from support.tiny import FOLDER
from typing_extensions import override

from radixloom_runtime.server import catalog, main
from radixloom_runtime.server.supervisor import Launch, Supervisor
from radixloom_runtime.settings import RuntimeSettings

ECHO_ENGINE = Path(__file__).parent / "echo_engine.py"


def echo_engine(*flags: str) -> Launch:
    """How to start the echo engine."""

    def launch(address: str, settings: RuntimeSettings) -> tuple[Sequence[str], Mapping[str, str]]:
        return [sys.executable, str(ECHO_ENGINE), "--address", address, *flags], os.environ

    return launch


class HttpServer(ThreadedServer):
    """The server; entering it waits until it is ready."""

    def __init__(
        self, launch: Launch, *, wait: bool = True, model: Path = FOLDER, **settings: Any
    ) -> None:
        super().__init__()
        given = RuntimeSettings(model=model, port=0, host="127.0.0.1", **settings)
        self._settings = catalog.locate(given)
        self._launch = launch
        self._wait = wait
        self._supervisor: Supervisor

    def wait_until_ready(self, seconds: float = WAIT_SECONDS) -> None:
        """Poll `/readyz`."""
        self.poll("/readyz", lambda response: response.status_code == 200, seconds)

    def poll(self, path: str, is_wanted: Any, seconds: float = WAIT_SECONDS) -> httpx.Response:
        """Get `path` again and again until the answer is the wanted one."""
        deadline = time.monotonic() + seconds
        while not is_wanted(response := self.client.get(path)):
            assert time.monotonic() < deadline, f"still {response.status_code}: {response.text}"
            time.sleep(0.02)
        return response

    def until_running(self, count: int) -> None:
        """Wait until the engine has so many choices, and says that it runs them.

        What it says alone may be of before: it reports a few times a second.
        """
        engine = self._supervisor.service.engine
        name = "radixloom:num_running_reqs"
        self.poll("/metrics", lambda _: engine.num_open == count and self.metric(name) == count)

    @override
    def __enter__(self) -> Self:
        super().__enter__()
        if self._wait:
            self.wait_until_ready()
        return self

    @override
    def _stop(self) -> None:
        self._supervisor.stop()

    @override
    async def _serve(self) -> int:
        with tempfile.TemporaryDirectory(prefix="radixloom-test-") as folder:
            self._supervisor = Supervisor(self._settings, self._launch, Path(folder), self.url)
            self._has_started.set()
            return await main.run(self._supervisor, self._listener)
