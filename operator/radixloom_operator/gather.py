"""Reads that several threads want at about the same time, made once for all of them.

    thread a ── read of {a} under way ─────────┐
    thread b ──────── waits ┐                  ├── read of {b, c} ──> b, c
    thread c ───────────── joins b ────────────┘

No answer is older than its question: who asks joins a read that has not begun yet. So a turn sees
what it would have seen alone, and a thousand turns ask the API server a fraction as often. Knows
nothing of Kubernetes.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Batch(Generic[KeyT, ValueT]):
    """A read that has not begun, or whose answer is awaited."""

    keys: set[KeyT] = field(default_factory=set[KeyT])
    answer: "Future[Mapping[KeyT, ValueT]]" = field(default_factory=Future[Mapping[KeyT, ValueT]])


class Gather(Generic[KeyT, ValueT]):
    """One read at a time; those who come meanwhile share the next."""

    def __init__(
        self, read: Callable[[frozenset[KeyT]], Mapping[KeyT, ValueT]], *, most: int
    ) -> None:
        """Ask `read` for at most `most` keys at a time; it has to answer for each of them."""
        self._read = read
        self._most = most
        self._is_reading = threading.Lock()
        self._joining = threading.Lock()
        self._next: _Batch[KeyT, ValueT] | None = None

    def get(self, key: KeyT) -> ValueT:
        """Return what a read that begins after this call says of `key`.

        Raises what the read raises, in all threads that share it.
        """
        with self._joining:
            batch = self._next
            is_ours_to_read = batch is None or len(batch.keys) >= self._most
            if batch is None or is_ours_to_read:
                batch = self._next = _Batch[KeyT, ValueT]()
            batch.keys.add(key)
        if is_ours_to_read:
            self._make(batch)
        return batch.answer.result()[key]

    def _make(self, batch: _Batch[KeyT, ValueT]) -> None:
        with self._is_reading:
            with self._joining:  # from here on nobody joins
                if self._next is batch:
                    self._next = None
            try:
                batch.answer.set_result(self._read(frozenset(batch.keys)))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
                batch.answer.set_exception(error)
