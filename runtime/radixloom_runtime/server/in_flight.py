"""Requests that are being answered, by the names that they can be aborted by."""

from collections.abc import Iterable
from typing import Protocol


class Stoppable(Protocol):
    """An answer in the making."""

    def cut_short(self) -> None:
        """End it with what there is."""
        ...


class InFlight:
    """All answers in the making; one name may be several requests'."""

    def __init__(self) -> None:
        self._names: dict[Stoppable, frozenset[str]] = {}

    def add(self, answer: Stoppable, names: Iterable[str]) -> None:
        """Take note of an answer that begins."""
        self._names[answer] = frozenset(names)

    def remove(self, answer: Stoppable) -> None:
        """Take note of its end."""
        self._names.pop(answer, None)

    def cut_short(self, name: str) -> int:
        """End the answers of that name; return how many there were."""
        return self._cut([answer for answer, names in self._names.items() if name in names])

    def cut_all_short(self) -> int:
        """End all answers; return how many there were."""
        return self._cut(list(self._names))

    def _cut(self, answers: list[Stoppable]) -> int:
        for answer in answers:
            answer.cut_short()
        return len(answers)
