"""Events of an answer as content blocks, one after another.

Reasoning*  Content*  CallStart CallArguments*   Content*
└ thinking ┘└ text  ┘ └───── tool_use ───────┘   └ text ┘
"""

from collections.abc import Iterator, Sequence

import msgspec

from radixloom_runtime.server.anthropic.replies import (
    Block,
    BlockDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJsonDelta,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
)
from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning


class BlockStream:
    """Opens and closes the blocks of one answer."""

    def __init__(self) -> None:
        self._open: Block | None = None
        self._index = -1
        self.called = False
        """Whether there was a call."""

    def feed(self, events: Sequence[Event]) -> list[msgspec.Struct]:
        """Return what some more of the answer adds."""
        return [told for event in events for told in self._event(event)]

    def close(self) -> list[msgspec.Struct]:
        """End the block that is open, if one is."""
        return list(self._close())

    def _event(self, event: Event) -> Iterator[msgspec.Struct]:
        match event:
            case Content(text):
                if not isinstance(self._open, TextBlock):
                    yield from self._begin(TextBlock(""))
                yield self._delta(TextDelta(text))
            case Reasoning(text):
                if not isinstance(self._open, ThinkingBlock):
                    yield from self._begin(ThinkingBlock(""))
                yield self._delta(ThinkingDelta(text))
            case CallStart():
                self.called = True
                yield from self._begin(ToolUseBlock(event.call_id, event.name, {}))
            case CallArguments():
                yield self._delta(InputJsonDelta(event.text))

    def _begin(self, block: Block) -> Iterator[msgspec.Struct]:
        yield from self._close()
        self._open = block
        self._index += 1
        yield ContentBlockStart(self._index, block)

    def _delta(self, delta: BlockDelta) -> ContentBlockDelta:
        return ContentBlockDelta(self._index, delta)

    def _close(self) -> Iterator[msgspec.Struct]:
        if isinstance(self._open, ThinkingBlock):
            yield self._delta(SignatureDelta())
        if self._open is not None:
            yield ContentBlockStop(self._index)
        self._open = None


def whole(told: Sequence[msgspec.Struct]) -> list[Block]:
    """Add up the blocks of a stream, as a client does."""
    blocks: list[Block] = []
    arguments: dict[int, str] = {}
    for event in told:
        match event:
            case ContentBlockStart(_, block):
                blocks.append(block)
            case ContentBlockDelta(index, InputJsonDelta(text)):
                arguments[index] = arguments.get(index, "") + text
            case ContentBlockDelta(index, delta):
                _grow(blocks[index], delta)
            case _:
                pass
    for index, text in arguments.items():
        block = blocks[index]
        assert isinstance(block, ToolUseBlock)  # noqa: S101 - only these have arguments
        block.input = input_of(text)
    return blocks


def input_of(arguments: str) -> dict[str, object]:
    """Return a call's arguments as an object, as far as they go.

    A call that was cut off has what was complete. What is no JSON is wrapped as Anthropic advises
    its clients to, so that nothing the model wrote is lost.
    """
    from pydantic_core import from_json

    try:
        found = from_json(arguments or "{}", allow_partial="trailing-strings")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"INVALID_JSON": arguments}


def _grow(block: Block, delta: BlockDelta) -> None:
    match block, delta:
        case TextBlock(), TextDelta(text):
            block.text += text
        case ThinkingBlock(), ThinkingDelta(text):
            block.thinking += text
        case _:
            pass
