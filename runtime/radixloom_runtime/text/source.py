"""A growing text, read by generators that wait where it ends.

A format is written as if the whole answer were there:

    def read(source: Source) -> Reader[None]:
        while (yield from source.content_until("<tool_call>")):
            ...

A reader yields events as soon as they are certain, and `None` where it needs more text to go on.
So what it tells is the same however the text comes in pieces, and a half marker is never told.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

from radixloom_runtime.text.events import CallStart, Content, Event

T = TypeVar("T")
Reader = Generator[Event | None, None, T]
"""Reads on and returns a T; what it yields on the way is passed through by `yield from`."""


class Source:
    """Text that has come and was not read yet."""

    def __init__(self, make_id: Callable[[], str]) -> None:
        self._make_id = make_id
        self._num_calls = 0
        self._text = ""
        self._is_complete = False
        self._taken: list[str] | None = None
        """What was read since `begin`."""
        self._space = ""
        """Blanks at the end of content: told before more content, but not before a call."""

    # --- written by the driver

    def write(self, text: str) -> None:
        """Add text that came."""
        self._text += text

    def complete(self) -> None:
        """Say that no more comes."""
        self._is_complete = True

    # --- going back

    def begin(self) -> None:
        """Remember this place."""
        self._taken = []

    def commit(self) -> str:
        """Forget the place that `begin` remembered; return what was read since."""
        taken = "".join(self._taken or ())
        self._taken = None
        return taken

    def rollback(self) -> None:
        """Go back to where `begin` was called."""
        self._text = "".join(self._taken or ()) + self._text
        self._taken = None

    # --- read

    def take(self, count: int) -> str:
        """Read characters that are there."""
        piece, self._text = self._text[:count], self._text[count:]
        if self._taken is not None:
            self._taken.append(piece)
        return piece

    def some(self) -> Reader[str]:
        """Read what is there, at least a character; nothing at the end."""
        while not self._text:
            if self._is_complete:
                return ""
            yield None
        return self.take(len(self._text))

    def unread(self, text: str) -> None:
        """Put back the end of what was read last."""
        if not text:
            return
        self._text = text + self._text
        if self._taken:
            self._taken[-1] = self._taken[-1].removesuffix(text)

    def until(self, *markers: str) -> Reader[tuple[str, str]]:
        """Read up to and with the first of `markers`: the text before, and the marker or ""."""
        pieces: list[str] = []
        while True:
            before, marker = self._before(markers)
            pieces.append(before)
            if marker or (self._is_complete and not self._text):
                return "".join(pieces), marker
            yield None

    def passing(self, tell: Callable[[str], Event], *markers: str) -> Reader[str]:
        """Tell the text before the first of `markers` as it comes; return the marker or ""."""
        while True:
            before, marker = self._before(markers)
            if before:
                yield tell(before)
            if marker or (self._is_complete and not self._text):
                return marker
            yield None

    def stripped(self, tell: Callable[[str], Event], *markers: str) -> Reader[str]:
        """Tell like `passing`, without the blanks at both ends."""
        yield from self.skip_space()
        space = ""
        while True:
            before, marker = self._before(markers)
            text = space + before
            kept = text.rstrip()
            space = text[len(kept) :]
            if kept:
                yield tell(kept)
            if marker or (self._is_complete and not self._text):
                return marker
            yield None

    def skip_space(self) -> Reader[None]:
        """Read blanks."""
        while True:
            self.take(len(self._text) - len(self._text.lstrip()))
            if self._text or self._is_complete:
                return
            yield None

    def starts_with(self, *wanted: str) -> Reader[str]:
        """Read one of `wanted` if it comes next; return it, or "" and read nothing.

        Of two that both fit, the longer is meant.
        """
        while True:
            longer = [each for each in wanted if len(each) > len(self._text)]
            if self._is_complete or not any(each.startswith(self._text) for each in longer):
                fitting = [each for each in wanted if self._text.startswith(each)]
                return self.take(len(max(fitting, key=len, default="")))
            yield None

    # --- content around calls

    def content_until(self, *markers: str) -> Reader[str]:
        """Tell content up to the first of `markers`; return the marker or "".

        Blanks before a marker are told only if more content follows.
        """
        while True:
            before, marker = self._before(markers)
            yield from self.content(before)
            if marker or (self._is_complete and not self._text):
                return marker
            yield None

    def content(self, text: str) -> Reader[None]:
        """Tell content, but keep the blanks at its end back."""
        text = self._space + text
        kept = text.rstrip()
        self._space = text[len(kept) :]
        if kept:
            yield Content(kept)

    def call(self, name: str, call_id: str | None = None) -> Reader[int]:
        """Tell that a call begins; return its index. Most formats bring no id of their own."""
        self._space = ""
        index = self._num_calls
        self._num_calls += 1
        yield CallStart(index, name, call_id or self._make_id())
        return index

    def last_space(self) -> Reader[None]:
        """Tell the blanks that were kept back, if they end an answer without calls."""
        if self._space and not self._num_calls:
            yield Content(self._space)
        self._space = ""

    def _before(self, markers: tuple[str, ...]) -> tuple[str, str]:
        """Read what is certainly before any marker, and the marker if all of it is there."""
        found = [(start, each) for each in markers if (start := self._text.find(each)) >= 0]
        if found:
            start, marker = min(found, key=lambda each: (each[0], -len(each[1])))
            return self.take(start), self.take(len(marker))
        held = 0 if self._is_complete else _length_of_possible_start(self._text, markers)
        return self.take(len(self._text) - held), ""


def _length_of_possible_start(text: str, markers: tuple[str, ...]) -> int:
    longest = max(map(len, markers), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(marker.startswith(text[-length:]) for marker in markers):
            return length
    return 0
