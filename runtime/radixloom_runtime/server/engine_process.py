"""The engine as a child process: started, watched, ended."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Self

import structlog

log = structlog.get_logger()


class EngineProcess:
    """A running engine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start it in a session of its own: a Ctrl-C in the terminal is the server's to handle."""
        process = await asyncio.create_subprocess_exec(
            *argv, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        log.info("engine.started", pid=process.pid)
        return cls(process)

    async def wait(self) -> int:
        """Wait for its end and return the exit code; negative: the signal that killed it."""
        return await self._process.wait()

    async def exits_within(self, seconds: float) -> bool:
        """Whether it ends by itself in that time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
        return self._process.returncode is not None

    async def kill(self) -> None:
        """End it if it still runs: by force, since it leaves it to us when to stop."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
