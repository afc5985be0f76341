"""A router in a thread of the test."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from support.threaded_server import WAIT_SECONDS, ThreadedServer
from typing_extensions import override

from radixloom_runtime.router.main import Router
from radixloom_runtime.router_settings import RouterSettings


class RouterServer(ThreadedServer):
    """A router; entering it waits until all its leaders were asked."""

    def __init__(self, backends: Iterable[str] = (), **settings: Any) -> None:
        super().__init__(verify=False)
        given = {"poll_seconds": 0.05, "discover_seconds": 0.05, "host": "127.0.0.1", "port": 0}
        self._settings = RouterSettings(backend=tuple(backends), **(given | settings))
        self.router: Router

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

    @override
    def __enter__(self) -> Self:
        super().__enter__()
        self.wait(lambda: self.client.get("/readyz").status_code == 200)
        return self

    @override
    def _stop(self) -> None:
        self.router.stop()

    @override
    async def _serve(self) -> int:
        self.router = Router(self._settings)
        self._has_started.set()
        return await self.router.run(self._listener)
