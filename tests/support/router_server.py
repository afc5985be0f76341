"""A router in a thread of the test."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from radixloom_runtime.router.main import Router
from radixloom_runtime.router_settings import RouterSettings
from radixloom_runtime.server import listening

WAIT_SECONDS = 20.0


class RouterServer:
    """A router on a port of its own; entering it waits until all its leaders were asked."""

    def __init__(self, backends: Iterable[str] = (), **settings: Any) -> None:
        given = {"poll_seconds": 0.05, "discover_seconds": 0.05, "host": "127.0.0.1", "port": 0}
        self._settings = RouterSettings(backend=tuple(backends), **(given | settings))
        self._listener = listening.bind("127.0.0.1", 0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._has_started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self.router: Router
        self.outcome: int | BaseException | None = None
        """Exit code, or what was raised instead."""
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS, verify=False)

    def stop(self) -> None:
        """Do what a signal does."""
        self._loop.call_soon_threadsafe(self.router.stop)

    def wait_outcome(self) -> int | BaseException | None:
        """Wait for the end and return how it was."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "the router does not end"
        return self.outcome

    def metric(self, sample: str) -> float:
        """Read the samples of `/metrics` that begin so, added up."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))

    def wait(self, is_so: Callable[[], object]) -> None:
        """Wait for a state."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"not so: {self.client.get('/metrics').text}"
            time.sleep(0.01)

    def wait_ready(self, count: int) -> None:
        """Wait until so many leaders are ready."""
        sample = 'radixloom_router_leaders{state="ready"}'
        self.wait(lambda: self.metric(sample) == count)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._has_started.wait(WAIT_SECONDS)
        self.wait(lambda: self.client.get("/readyz").status_code == 200)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        if self._thread.is_alive():
            self.stop()
            self.stop()
            self.wait_outcome()
        self._listener.close()

    def _run(self) -> None:
        try:
            self.outcome = asyncio.run(self._route())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.outcome = error
        finally:
            self._has_started.set()

    async def _route(self) -> int:
        self._loop = asyncio.get_running_loop()
        self.router = Router(self._settings)
        self._has_started.set()
        return await self.router.run(self._listener)
