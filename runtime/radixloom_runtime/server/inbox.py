"""What the engine has sent for one HTTP request and its handler has not taken yet."""

import asyncio
from dataclasses import dataclass

from radixloom_runtime.wire.messages import Output, Rejected, TimedOut


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine is gone; nothing follows."""

    message: str


Event = Output | Rejected | TimedOut | EngineLost


class Inbox:
    """One writer, the engine client, and one reader, the request's handler.

    A reader that is slower than the engine takes several events at once; their number is bounded
    by the tokens that the request may have.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        """Add an event and wake the reader."""
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def wait(self) -> None:
        """Return when there is something to take."""
        if not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    async def take(self) -> list[Event]:
        """Wait for events and take all there are."""
        await self.wait()
        events, self._events = self._events, []
        return events
