"""The engine's pulse: a pipe by which its server notices that the whole process stands still.

    engine's watchdog thread ── a byte every half second ──► server: so many of its own ticks
                                                             without one, and it is ended by force

A stopped process, or one that holds the interpreter for ever, cannot end itself, nor tell anybody:
its watchdog stands still with it. The channel between the two belongs to the engine's main thread,
which is silent during a long step; so the pulse goes a way of its own.

Silence is counted in ticks of the listener: a machine that stood still as a whole ends nobody.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

PULSE_VARIABLE = "RADIXLOOM_ENGINE_PULSE"
"""File descriptor of the pipe's end in the engine process."""
BEAT_SECONDS = 0.5


class Pulse:
    """The engine's end; beats from any one thread."""

    def __init__(self, descriptor: int | None) -> None:
        """Without a descriptor nobody listens."""
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_blocking(descriptor, False)

    @classmethod
    def of_parent(cls, environment: Mapping[str, str]) -> Self:
        """Return the pulse that the parent process listens to, if it does."""
        descriptor = environment.get(PULSE_VARIABLE)
        return cls(None if descriptor is None else int(descriptor))

    def beat(self) -> None:
        """Tell that the process goes on; a listener that does not listen now is no concern."""
        if self._descriptor is not None:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._descriptor, b".")

    def close(self) -> None:
        """Tell that from now on silence means nothing: the process is about to end."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PulseListener:
    """The server's end; for use inside one asyncio loop."""

    def __init__(self) -> None:
        self._descriptor, self.engine_descriptor = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._is_beating = self._has_beaten = False
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def hand_over(self) -> None:
        """Leave the other end to the engine, which has been started with it."""
        os.close(self.engine_descriptor)

    async def silence(self, most_seconds: Callable[[], float]) -> float:
        """Wait for that many seconds without a beat, after the first one; return how many.

        Waits for ever once the engine has closed its end.
        """
        silent = 0.0
        while silent <= most_seconds():
            await asyncio.sleep(BEAT_SECONDS)
            silent = silent + BEAT_SECONDS if self._is_beating and not self._has_beaten else 0.0
            self._has_beaten = False
        return silent

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        self._has_beaten = self._is_beating = bool(os.read(self._descriptor, 4096))
        if not self._is_beating:
            asyncio.get_running_loop().remove_reader(self._descriptor)
