"""Events of a response's stream; a struct's tag is its `type`.

The form numbers them as they are told.
"""

import msgspec

from radixloom_runtime.server.responses.replies import (
    Item,
    OutputText,
    ReasoningText,
    Response,
)


class Event(msgspec.Struct, kw_only=True):
    """What all events have."""

    sequence_number: int = 0


class Created(Event, kw_only=True, tag="response.created"):
    """The first event."""

    response: Response


class InProgress(Event, kw_only=True, tag="response.in_progress"):
    """The engine has it."""

    response: Response


class ItemAdded(Event, kw_only=True, tag="response.output_item.added"):
    """An item begins."""

    output_index: int
    item: Item


class ItemDone(Event, kw_only=True, tag="response.output_item.done"):
    """An item is complete."""

    output_index: int
    item: Item


class PartEvent(Event, kw_only=True):
    """Of a part of an item."""

    item_id: str
    output_index: int
    content_index: int = 0


class PartAdded(PartEvent, kw_only=True, tag="response.content_part.added"):
    """A part of an item begins."""

    part: OutputText | ReasoningText


class PartDone(PartEvent, kw_only=True, tag="response.content_part.done"):
    """A part of an item is complete."""

    part: OutputText | ReasoningText


class TextDelta(PartEvent, kw_only=True, tag="response.output_text.delta"):
    """More words."""

    delta: str
    logprobs: list[None] = []


class TextDone(PartEvent, kw_only=True, tag="response.output_text.done"):
    """All words of a part."""

    text: str
    logprobs: list[None] = []


class ReasoningDelta(PartEvent, kw_only=True, tag="response.reasoning_text.delta"):
    """More thoughts."""

    delta: str


class ReasoningDone(PartEvent, kw_only=True, tag="response.reasoning_text.done"):
    """All thoughts."""

    text: str


class ArgumentsDelta(Event, kw_only=True, tag="response.function_call_arguments.delta"):
    """More of a call's arguments."""

    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(Event, kw_only=True, tag="response.function_call_arguments.done"):
    """All of a call's arguments."""

    item_id: str
    output_index: int
    name: str
    arguments: str


class Completed(Event, kw_only=True, tag="response.completed"):
    """The last event of a whole answer."""

    response: Response


class CutShort(Event, kw_only=True, tag="response.incomplete"):
    """The last event of one that met its limit."""

    response: Response


class Failed(Event, kw_only=True, tag="response.failed"):
    """The last event of one that broke off."""

    response: Response
