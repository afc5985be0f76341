"""Something that answers HTTP, in a thread of the test."""

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import httpx

from radixloom_runtime.server import listening

WAIT_SECONDS = 20.0


class ThreadedServer(ABC):
    """A server on a port of its own, which a test starts, asks and stops."""

    def __init__(self, **client: Any) -> None:
        """Of `client` the HTTP client is made."""
        self._listener = listening.bind("127.0.0.1", 0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._has_started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self.outcome: int | BaseException | None = None
        """Exit code, or what was raised instead."""
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS, **client)

    @abstractmethod
    async def _serve(self) -> int:
        """Set `_has_started`, and answer on `_listener` until stopped."""

    @abstractmethod
    def _stop(self) -> None:
        """Do what a signal does; in the server's loop."""

    def stop(self) -> None:
        """Do what a signal does."""
        self._loop.call_soon_threadsafe(self._stop)

    def wait_outcome(self) -> int | BaseException | None:
        """Wait for the end and return how it was."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "it does not end"
        return self.outcome

    def metric(self, line_start: str) -> float:
        """Read the samples of `/metrics` that begin so, added up."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._has_started.wait(WAIT_SECONDS)
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
            self.outcome = asyncio.run(self._serve_here())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.outcome = error
        finally:
            self._has_started.set()

    async def _serve_here(self) -> int:
        self._loop = asyncio.get_running_loop()
        return await self._serve()
