"""Stop strings: where an answer ends, wherever the edges of its chunks fall.

    stop "END"    fed  "the E"  "N"  "D of"
                  gives "the "   ""   ""     and stopped

Text that may be the start of a stop string is held back until the next chunk decides. Of several
stop strings the one that is complete first wins; of those complete together, the longest.
"""

from collections.abc import Sequence


class StopMatcher:
    """Looks for the first stop string in a growing text."""

    def __init__(self, stops: Sequence[str]) -> None:
        """`stops` are not empty strings; there may be none."""
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None
        """The stop string that ended the text."""

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self.matched is not None

    def feed(self, text: str) -> str:
        """Add `text`, return what is certainly before any stop string; see `stopped`."""
        if not self._stops or not text:
            return text
        text = self._held + text
        if (match := self._first_match(text)) is not None:
            start, self.matched = match
            self._held = ""
            return text[:start]
        certain = len(text) - self._length_of_possible_start(text)
        self._held = text[certain:]
        return text[:certain]

    def finish(self) -> str:
        """Return what was held back: no more text comes, so it was no stop string."""
        text, self._held = self._held, ""
        return text

    def _first_match(self, text: str) -> tuple[int, str] | None:
        """Return the stop string that ends first, and where it begins."""
        ends = [
            (start + len(stop), start, stop)
            for stop in self._stops
            if (start := text.find(stop)) >= 0
        ]
        return min(ends)[1:] if ends else None

    def _length_of_possible_start(self, text: str) -> int:
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
