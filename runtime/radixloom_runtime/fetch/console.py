"""Reports for a person, or for a log.

On a terminal a bar that moves; elsewhere (a pod's log, a pipe) one plain line every few seconds.
"""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from radixloom_runtime.fetch.progress import Advance

LINE_INTERVAL_SECONDS = 5.0
MEBIBYTE = 1024 * 1024


class ConsoleReporter:
    """Report on a console: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    def note(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def bar(self, title: str, total_bytes: int, done_bytes: int) -> AbstractContextManager[Advance]:
        """Open a moving bar or a series of lines, by what the console is."""
        if self._console.is_terminal:
            return self._terminal_bar(title, total_bytes, done_bytes)
        return self._log_lines(title, total_bytes, done_bytes)

    @contextmanager
    def _terminal_bar(self, title: str, total_bytes: int, done_bytes: int) -> Generator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total_bytes, completed=done_bytes)
            yield lambda num_bytes: progress.advance(task, num_bytes)

    @contextmanager
    def _log_lines(self, title: str, total_bytes: int, done_bytes: int) -> Generator[Advance]:
        lines = _Lines(title, total_bytes, done_bytes, self._clock, self.note)
        yield lines.advance
        lines.finish()


class _Lines:
    """A line each time `LINE_INTERVAL_SECONDS` have gone by."""

    def __init__(
        self,
        title: str,
        total_bytes: int,
        done_bytes: int,
        clock: Callable[[], float],
        note: Callable[[str], None],
    ) -> None:
        self._title, self._total, self._done = title, total_bytes, done_bytes
        self._clock, self._note = clock, note
        self._began, self._began_at = clock(), done_bytes
        self._last_line = self._began

    def advance(self, num_bytes: int) -> None:
        self._done += num_bytes
        now = self._clock()
        if now - self._last_line >= LINE_INTERVAL_SECONDS:
            self._last_line = now
            self._note(self._line(now))

    def finish(self) -> None:
        self._note(self._line(self._clock()))

    def _line(self, now: float) -> str:
        share = self._done / self._total if self._total else 1.0
        speed = (self._done - self._began_at) / MEBIBYTE / max(now - self._began, 1e-3)
        return (
            f"{self._title}: {share:.0%} of {self._total / MEBIBYTE:.1f} MiB at {speed:.1f} MiB/s"
        )
