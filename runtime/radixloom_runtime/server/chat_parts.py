"""Events of an answer as OpenAI's message, or as a chunk's delta.

One chunk tells what one message of the engine brought: events of a kind in it are joined.
"""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType

from radixloom_runtime.server.replies import CalledFunction, ChatDelta, ChatMessage, ToolCall
from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning


def message(events: Sequence[Event]) -> ChatMessage:
    """Return the whole message of a whole answer's events."""
    content, reasoning = _text(events, Content), _text(events, Reasoning)
    calls = [
        ToolCall(CalledFunction(arguments, start.name), id=start.call_id, type="function")
        for start, arguments in _calls(events)
        if start is not None
    ]
    return ChatMessage(
        content=content or (None if calls or reasoning else ""),
        reasoning_content=reasoning or UNSET,
        tool_calls=calls or UNSET,
    )


def delta(events: Sequence[Event]) -> ChatDelta:
    """Return what some events add to the message."""
    calls = [_piece(index, start, arguments) for index, (start, arguments) in _by_index(events)]
    return ChatDelta(
        content=_text(events, Content) or UNSET,
        reasoning_content=_text(events, Reasoning) or UNSET,
        tool_calls=calls or UNSET,
    )


def _text(events: Iterable[Event], kind: type[Content | Reasoning]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def _calls(events: Iterable[Event]) -> list[tuple[CallStart | None, str]]:
    return [call for _, call in _by_index(events)]


def _by_index(events: Iterable[Event]) -> list[tuple[int, tuple[CallStart | None, str]]]:
    """Join what belongs to one call: its beginning, if it is among the events, and arguments."""
    starts: dict[int, CallStart | None] = {}
    arguments: dict[int, str] = {}
    for event in events:
        if isinstance(event, CallStart):
            starts[event.index] = event
        elif isinstance(event, CallArguments):
            starts.setdefault(event.index, None)
            arguments[event.index] = arguments.get(event.index, "") + event.text
    return [(index, (start, arguments.get(index, ""))) for index, start in starts.items()]


def _piece(index: int, start: CallStart | None, arguments: str) -> ToolCall:
    name: str | UnsetType = UNSET if start is None else start.name
    return ToolCall(
        CalledFunction(arguments, name),
        id=UNSET if start is None else start.call_id,
        type=UNSET if start is None else "function",
        index=index,
    )
