"""Responses and their items as OpenAI writes them; an item's tag is its `type`."""

from typing import Any, Literal

import msgspec

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(msgspec.Struct, frozen=True, tag="output_text"):
    """Words for the user."""

    text: str
    annotations: list[None] = []
    logprobs: list[None] = []


class ReasoningText(msgspec.Struct, frozen=True, tag="reasoning_text"):
    """What the model thought, as it did."""

    text: str


class Message(msgspec.Struct, frozen=True, tag="message"):
    """What the assistant said."""

    id: str
    status: ItemStatus
    content: list[OutputText]
    role: Literal["assistant"] = "assistant"


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning"):
    """What it thought before."""

    id: str
    status: ItemStatus
    content: list[ReasoningText]
    summary: list[None] = []
    """Nothing is summed up."""


class FunctionCall(msgspec.Struct, frozen=True, tag="function_call"):
    """A call."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


Item = Message | Reasoning | FunctionCall


class InputDetails(msgspec.Struct, frozen=True):
    """Part of `usage`."""

    cached_tokens: int
    cache_write_tokens: int = 0
    """Nothing is charged for being kept."""


class OutputDetails(msgspec.Struct, frozen=True):
    """Part of `usage`."""

    reasoning_tokens: int
    """Of the reasoning's text, read anew."""


class ResponseUsage(msgspec.Struct, frozen=True):
    """Tokens of a response."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Failure(msgspec.Struct, frozen=True):
    """Why a response failed."""

    code: str
    message: str


class Incomplete(msgspec.Struct, frozen=True):
    """Why an answer ended early."""

    reason: Literal["max_output_tokens"]


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response, at its beginning or at its end."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "cancelled", "failed"]
    model: str
    output: list[Item]
    usage: ResponseUsage | None = None
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None
    previous_response_id: str | None
    store: bool
    max_output_tokens: int | None
    temperature: float
    top_p: float
    tools: list[dict[str, Any]]
    tool_choice: Any
    parallel_tool_calls: bool
    reasoning: dict[str, Any]
    text: dict[str, Any]
    metadata: dict[str, str]
    user: str | None
    background: Literal[False] = False
    truncation: Literal["disabled"] = "disabled"


class Deleted(msgspec.Struct, frozen=True):
    """`DELETE /v1/responses/{id}`."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
