"""A response's body as the chat completion that asks for the same."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import parsing, problems
from radixloom_runtime.server.responses.items import (
    AnyItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    ReasoningItem,
    text_of,
)
from radixloom_runtime.server.responses.schema import (
    Format,
    FunctionTool,
    ResponseRequest,
    SchemaFormat,
)
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_tools import NamedTool

Body = dict[str, Any]

NAMES: Mapping[str, str] = {
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
}
"""Of a chat completion's parameters, to those of a response where they differ."""


def as_chat(wanted: ResponseRequest, items: Sequence[AnyItem]) -> ChatRequest:
    """Return the chat that asks for the same of `items`, the conversation in all.

    Raises: `RequestError` by a chat's own rules.
    """
    body: Body = {
        "model": wanted.model,
        "messages": [*_instructions(wanted), *messages(items)],
        "max_completion_tokens": wanted.max_output_tokens,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "tools": [_tool(tool) for tool in wanted.tools or ()] or None,
        "tool_choice": _choice(wanted),
        "parallel_tool_calls": wanted.parallel_tool_calls,
        "response_format": _format(wanted.text.format if wanted.text else None),
        "reasoning_effort": wanted.reasoning.effort if wanted.reasoning else None,
        "user": wanted.user,
        "stream": wanted.stream,
    }
    try:
        return parsing.validated(ChatRequest, body)
    except RequestError as error:
        raise problems.renamed(error, NAMES) from error


def messages(items: Iterable[AnyItem]) -> list[Body]:
    """Return the messages of a chat: what the assistant did in one go is one of them."""
    found: list[Body] = []
    for item in items:
        match item:
            case ReasoningItem():
                thought = "".join(part.text for part in item.content or ())
                _open_turn(found, unless_has="content")["reasoning_content"] = thought
            case MessageItem(role="assistant"):
                _open_turn(found, unless_has="content")["content"] = text_of(item.content)
            case FunctionCallItem():
                _open_turn(found).setdefault("tool_calls", []).append(_call(item))
            case MessageItem():
                found.append({"role": item.role, "content": text_of(item.content)})
            case FunctionCallOutputItem():
                output = text_of(item.output)
                found.append({"role": "tool", "tool_call_id": item.call_id, "content": output})
    return found


def _open_turn(found: list[Body], *, unless_has: str | None = None) -> Body:
    """Return the assistant's turn that goes on, or begin one."""
    is_open = bool(found) and found[-1]["role"] == "assistant"
    if not is_open or (unless_has and (unless_has in found[-1] or "tool_calls" in found[-1])):
        found.append({"role": "assistant"})
    return found[-1]


def _call(item: FunctionCallItem) -> Body:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _instructions(wanted: ResponseRequest) -> list[Body]:
    text = wanted.instructions
    return [{"role": "system", "content": text}] if text else []


def _format(wanted: Format | None) -> Body | None:
    if not isinstance(wanted, SchemaFormat):
        return None if wanted is None else wanted.model_dump()
    return {
        "type": wanted.type,
        "json_schema": wanted.model_dump(by_alias=True, exclude={"type"}),
    }


def _tool(tool: FunctionTool) -> Body:
    return {"type": "function", "function": tool.model_dump(exclude={"type"})}


def _choice(wanted: ResponseRequest) -> Any:
    choice = wanted.tool_choice
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice
