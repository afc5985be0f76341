"""How the text of a chat's answer is taken apart: reasoning, content, calls of tools.

    text deltas ──► AnswerReader ──► Reasoning* (Content | CallStart CallArguments*)*

A `Reading` is chosen once for a request; each of its answers has a reader of its own.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning
from radixloom_runtime.text.reasoning import HARMONY, REASONING_TAGS, ThinkTags
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import harmony
from radixloom_runtime.text.tools.registry import TOOL_FORMATS, make_id
from radixloom_runtime.text.tools.toolbox import Toolbox

_SLICE = 4096
"""Characters that are read at once: a reader looks again at what it has not read yet."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers to one request are read. Without formats, all is content."""

    tool_format: str | None = None
    """None also where the request offers no tools."""
    reasoning_format: str | None = None
    toolbox: Toolbox = field(default_factory=Toolbox)
    begins_in_reasoning: bool = False
    tells_reasoning_apart: bool = True
    """False: reasoning is content; between its tags, where the model writes some."""
    one_call: bool = False
    """Only the first call is told."""

    @property
    def tokens(self) -> frozenset[str]:
        """Special tokens that have to stay in the text."""
        found: set[str] = set()
        if self.tool_format is not None:
            found.update(TOOL_FORMATS[self.tool_format].tokens)
        if self.reads_channels:
            found.update(harmony.TOKENS)
        elif self.reasoning_format is not None:
            found.update(REASONING_TAGS[self.reasoning_format].tokens)
        return frozenset(found)

    @property
    def reads_channels(self) -> bool:
        """Whether the whole answer is in gpt-oss's form."""
        return HARMONY in {self.tool_format, self.reasoning_format}

    @property
    def tags(self) -> ThinkTags | None:
        """Tags around the reasoning that is told apart."""
        is_tagged = self.reasoning_format is not None and not self.reads_channels
        return REASONING_TAGS[self.reasoning_format or ""] if is_tagged else None

    def open(self) -> "AnswerReader":
        """Begin an answer."""
        return AnswerReader(self)


class AnswerReader:
    """Reads one answer."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        tool_format = TOOL_FORMATS.get(reading.tool_format or "")
        self._source = Source(tool_format.make_id if tool_format else make_id)
        self._steps: Generator[Event | None, None, None] = _read(reading, self._source)

    def feed(self, text: str) -> list[Event]:
        """Take more of the answer; return what is certain now."""
        events: list[Event] = []
        for start in range(0, len(text), _SLICE):
            self._source.write(text[start : start + _SLICE])
            events += self._until_it_waits()
        return events

    def finish(self) -> list[Event]:
        """Return what was held back; nothing may follow."""
        self._source.complete()
        return self._until_it_waits()

    def _until_it_waits(self) -> list[Event]:
        events: list[Event] = []
        for event in self._steps:
            if event is None:
                break
            if (told := self._told(event)) is not None:
                events.append(told)
        return events

    def _told(self, event: Event) -> Event | None:
        """Turn what the request does not want told apart into content."""
        match event:
            case Reasoning():
                return event if self._reading.tells_reasoning_apart else Content(event.text)
            case CallStart() | CallArguments() if self._reading.tool_format is None:
                return Content(event.text) if isinstance(event, CallArguments) else None
            case CallStart() | CallArguments() if self._reading.one_call and event.index:
                return None
            case _:
                return event


def _read(reading: Reading, source: Source) -> Reader[None]:
    if reading.reads_channels:
        yield from harmony.read(source, reading.toolbox)
        return
    if (tags := reading.tags) and reading.tells_reasoning_apart:
        yield from tags.read(source, is_open=reading.begins_in_reasoning)
    if reading.tool_format is None:
        yield from source.passing(Content)
    else:
        yield from TOOL_FORMATS[reading.tool_format].read(source, reading.toolbox)
        yield from source.last_space()
