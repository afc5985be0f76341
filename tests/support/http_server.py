"""The server in a thread of the test, with an engine process that the test chooses."""

import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from support.tiny import FOLDER

from radixloom_runtime.server import catalog, listening, main
from radixloom_runtime.server.supervisor import Launch, Supervisor
from radixloom_runtime.settings import RuntimeSettings

ECHO_ENGINE = Path(__file__).parent / "echo_engine.py"
WAIT_SECONDS = 20.0


def echo_engine(*flags: str) -> Launch:
    """How to start the echo engine."""

    def launch(address: str, settings: RuntimeSettings) -> tuple[Sequence[str], Mapping[str, str]]:
        return [sys.executable, str(ECHO_ENGINE), "--address", address, *flags], os.environ

    return launch


class HttpServer:
    """A server on a port of its own; entering it waits until it is ready."""

    def __init__(
        self, launch: Launch, *, wait: bool = True, model: Path = FOLDER, **settings: Any
    ) -> None:
        given = RuntimeSettings(model=model, port=0, host="127.0.0.1", **settings)
        self._settings = catalog.locate(given)
        self._launch = launch
        self._wait = wait
        self._listener = listening.bind(self._settings.host, self._settings.port)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._has_started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._supervisor: Supervisor
        self.outcome: int | BaseException | None = None
        """Exit code, or what was raised instead."""
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS)

    def stop(self) -> None:
        """Do what a signal does."""
        self._loop.call_soon_threadsafe(self._supervisor.stop)

    def wait_outcome(self) -> int | BaseException | None:
        """Wait for the end and return how it was."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "the server does not end"
        return self.outcome

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

    def metric(self, line_start: str) -> float:
        """Read one sample of `/metrics`."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._has_started.wait(WAIT_SECONDS)
        if self._wait:
            self.wait_until_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self.stop()
            self.stop()
            self.wait_outcome()
        self.client.close()
        self._listener.close()

    def _run(self) -> None:
        try:
            self.outcome = asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.outcome = error

    async def _serve(self) -> int:
        self._loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="radixloom-test-") as folder:
            self._supervisor = Supervisor(self._settings, self._launch, Path(folder), self.url)
            self._has_started.set()
            return await main.run(self._supervisor, self._listener)
