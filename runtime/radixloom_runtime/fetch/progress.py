"""Where a fetch says how far it has come; `console` is one such place."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of bytes that were added; negative when bytes had to be thrown away."""


class Reporter(Protocol):
    """Where a fetch says what it does."""

    def note(self, message: str) -> None:
        """Say one thing."""
        ...

    def bar(self, title: str, total_bytes: int, done_bytes: int) -> AbstractContextManager[Advance]:
        """Open a bar that begins at `done_bytes`; entering it gives the function to advance it."""
        ...
