"""Answers and events as Anthropic writes them; a struct's tag is its `type`."""

from typing import Any, Literal

import msgspec


class TextBlock(msgspec.Struct, tag="text"):
    """Words for the user."""

    text: str
    citations: None = None


class ThinkingBlock(msgspec.Struct, tag="thinking"):
    """What the model thought before it spoke."""

    thinking: str
    signature: str = ""
    """Nothing is signed: history is taken at its word."""


class ToolUseBlock(msgspec.Struct, tag="tool_use"):
    """A call."""

    id: str
    name: str
    input: dict[str, Any]


Block = TextBlock | ThinkingBlock | ToolUseBlock


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a request; those found in the cache are not among `input_tokens`."""

    input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int = 0
    """Nothing is charged for being kept."""


class Message(msgspec.Struct, frozen=True, tag="message"):
    """An answer, whole or at its beginning."""

    id: str
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    usage: Usage
    role: Literal["assistant"] = "assistant"


class MessageStart(msgspec.Struct, frozen=True, tag="message_start"):
    """The first event of a stream."""

    message: Message


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Nothing but that the connection is alive."""


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """More words."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, tag="thinking_delta"):
    """More thoughts."""

    thinking: str


class SignatureDelta(msgspec.Struct, frozen=True, tag="signature_delta"):
    """The end of thinking."""

    signature: str = ""


class InputJsonDelta(msgspec.Struct, frozen=True, tag="input_json_delta"):
    """More of a call's arguments, as text."""

    partial_json: str


BlockDelta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class ContentBlockStart(msgspec.Struct, frozen=True, tag="content_block_start"):
    """A block begins."""

    index: int
    content_block: Block


class ContentBlockDelta(msgspec.Struct, frozen=True, tag="content_block_delta"):
    """A block grows."""

    index: int
    delta: BlockDelta


class ContentBlockStop(msgspec.Struct, frozen=True, tag="content_block_stop"):
    """A block is complete."""

    index: int


class Stop(msgspec.Struct, frozen=True):
    """Why an answer ended."""

    stop_reason: str
    stop_sequence: str | None


class MessageDelta(msgspec.Struct, frozen=True, tag="message_delta"):
    """How it ended, and what it took in all."""

    delta: Stop
    usage: Usage


class MessageStop(msgspec.Struct, frozen=True, tag="message_stop"):
    """The last event."""


class TokenCount(msgspec.Struct, frozen=True):
    """`POST /v1/messages/count_tokens`."""

    input_tokens: int
