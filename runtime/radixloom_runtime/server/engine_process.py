"""The engine as a child process: started, watched, ended."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import structlog

from radixloom_runtime.wire.pulse import PULSE_VARIABLE, PulseListener

KILL_SECONDS = 5.0
"""For a killed process to be gone; one that waits inside a device's driver may never be."""

log = structlog.get_logger()


class EngineProcess:
    """A running engine."""

    def __init__(self, process: asyncio.subprocess.Process, pulse: PulseListener) -> None:
        self._process = process
        self._pulse = pulse

    @classmethod
    async def start(cls, argv: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start it in a session of its own: a Ctrl-C in the terminal is the server's to handle."""
        pulse = PulseListener()
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={**environment, PULSE_VARIABLE: str(pulse.engine_descriptor)},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(pulse.engine_descriptor,),
        )
        pulse.hand_over()
        log.info("engine.started", pid=process.pid)
        return cls(process, pulse)

    async def wait(self) -> int:
        """Wait for its end and return the exit code; negative: the signal that killed it."""
        return await self._process.wait()

    async def exits_within(self, seconds: float) -> bool:
        """Whether it ends by itself in that time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
        return self._process.returncode is not None

    async def stands_still(self, most_seconds: Callable[[], float]) -> float:
        """Wait until it has not moved for so long; return how many seconds that was."""
        return await self._pulse.silence(most_seconds)

    async def kill(self) -> None:
        """End it if it still runs: by force, since it leaves it to us when to stop."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if not await self.exits_within(KILL_SECONDS):
            log.error("engine.not_killed", pid=self._process.pid, seconds=KILL_SECONDS)

    def close(self) -> None:
        """Forget it."""
        self._pulse.close()
