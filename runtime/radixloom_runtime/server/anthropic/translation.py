"""A message's body as the chat completion that asks for the same."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import parsing, problems
from radixloom_runtime.server.anthropic.blocks import (
    Block,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from radixloom_runtime.server.anthropic.schema import (
    AnthropicMessage,
    AnthropicTool,
    CountTokensRequest,
    MessagesRequest,
    OutputFormat,
    ToolChoice,
)
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.schema_chat import ChatRequest

Body = dict[str, Any]

NAMES: Mapping[str, str] = {
    "enable_thinking": "thinking",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
}
"""Of a chat completion's parameters, to those of a message where they differ."""


def as_chat(wanted: CountTokensRequest, model: ServedModel) -> ChatRequest:
    """Return the chat that asks for the same. Raises: `RequestError` by a chat's own rules."""
    body: Body = {
        "model": wanted.model,
        "messages": [*_system(wanted), *_conversation(wanted.messages)],
        "tools": [_tool(tool) for tool in wanted.tools or ()] or None,
        **_choice(wanted.tool_choice),
        **_thinking(wanted, model),
    }
    if wanted.messages[-1].role == "assistant":
        body["continue_final_message"] = True
    if isinstance(wanted, MessagesRequest):
        body |= _sampling(wanted)
    try:
        return parsing.validated(ChatRequest, body)
    except RequestError as error:
        raise problems.renamed(error, NAMES) from error


def _system(wanted: CountTokensRequest) -> list[Body]:
    return [{"role": "system", "content": _text(wanted.system)}] if wanted.system else []


def _conversation(messages: Iterable[AnthropicMessage]) -> Iterable[Body]:
    for message in messages:
        if message.role == "assistant":
            yield _assistant(message.content)
        else:
            yield from _user(message.content)


def _assistant(blocks: Sequence[Block]) -> Body:
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    return {
        "role": "assistant",
        "content": _text(blocks) or None,
        "reasoning_content": "".join(thoughts) or None,
        "tool_calls": [_call(block) for block in blocks if isinstance(block, ToolUseBlock)] or None,
    }


def _user(blocks: Sequence[Block]) -> Iterable[Body]:
    """Part a turn into what tools answered and what the user said, in their order."""
    said: list[Block] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            if said:
                yield {"role": "user", "content": _text(said)}
            said = []
            yield _result(block)
        else:
            said.append(block)
    if said:
        yield {"role": "user", "content": _text(said)}


def _result(block: ToolResultBlock) -> Body:
    text = _text(block.content or ())
    content = f"Error: {text}" if block.is_error else text
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _call(block: ToolUseBlock) -> Body:
    function = {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)}
    return {"id": block.id, "type": "function", "function": function}


def _text(blocks: Iterable[Block]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, TextBlock))


def _tool(tool: AnthropicTool) -> Body:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice | None) -> Body:
    if choice is None:
        return {}
    named = {"type": "function", "function": {"name": choice.name}}
    forms: Mapping[str, Any] = {"auto": "auto", "none": "none", "any": "required", "tool": named}
    one_call = choice.disable_parallel_tool_use
    return {
        "tool_choice": forms[choice.type],
        "parallel_tool_calls": None if one_call is None else not one_call,
    }


def _thinking(wanted: CountTokensRequest, model: ServedModel) -> Body:
    body: Body = {}
    if (output := wanted.output_config) is not None:
        body["reasoning_effort"] = output.effort
        body["response_format"] = _format(output.format)
    match wanted.thinking.type if wanted.thinking else "adaptive":
        case "enabled":
            body["enable_thinking"] = True
        case "disabled" if model.reasoning_format is not None:
            body["enable_thinking"] = False
        case _:  # left to the model, or there is nothing to switch off
            pass
    return body


def _format(wanted: OutputFormat | None) -> Body | None:
    if wanted is None:
        return None
    return {
        "type": wanted.type,
        "json_schema": {"name": "output", "schema": wanted.schema_},
    }


def _sampling(wanted: MessagesRequest) -> Body:
    return {
        "max_tokens": wanted.max_tokens,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "top_k": wanted.top_k,
        "stop": wanted.stop_sequences,
        "stream": wanted.stream,
        "user": wanted.metadata.user_id if wanted.metadata else None,
    }
