"""A reporter that remembers what it was told."""

from collections.abc import Iterator
from contextlib import contextmanager

from radixloom_runtime.fetch.progress import Advance


class RecordedReports:
    """Notes and, for the last bar, where it began and came to."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began_at = self.done = self.total = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    @contextmanager
    def bar(self, title: str, total_bytes: int, done_bytes: int) -> Iterator[Advance]:
        self.total, self.began_at, self.done = total_bytes, done_bytes, done_bytes
        yield self._advance

    def _advance(self, num_bytes: int) -> None:
        self.done += num_bytes
