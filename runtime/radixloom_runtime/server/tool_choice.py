"""Which calls of tools an answer is held to: by `tool_choice`, `strict`, or the content's format.

required, named            nothing but calls, each by its tool's schema
auto with strict tools     words, and calls by their schemas
auto with response_format  content of that format, or calls
"""

from collections.abc import Sequence
from typing import Any

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.guided import Calls
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_tools import NamedTool, Tool
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.text.tokenizer import Tokenizer
from radixloom_runtime.text.tools.registry import TOOL_FORMATS
from radixloom_runtime.text.tools.spelling import Spelling, spelling_for


def calls_of(
    request: ChatRequest,
    tools: Sequence[Tool],
    reading: Reading,
    template: str,
    tokenizer: Tokenizer,
) -> Calls | None:
    """Return the calls that an answer is held to; None: what it calls, it calls as it likes.

    Raises: `RequestError` where nothing marks a call that the model may, but need not, write.
    """
    param = _param(request, tools)
    if param is None or reading.tool_format is None:
        return None
    for index, tool in enumerate(tools):
        _check_parameters(tool, f"tools[{index}].function.parameters")
    spelling = spelling_for(TOOL_FORMATS[reading.tool_format].spellings, template)
    choice = request.tool_choice
    is_required = choice == "required" or isinstance(choice, NamedTool)
    if not is_required:
        _check_marked(spelling, reading.tool_format, tokenizer, param)
    return Calls(
        spelling=spelling,
        tools={
            tool.function.name: tool.function.parameters or {}
            for tool in tools
            if not isinstance(choice, NamedTool) or choice.name == tool.function.name
        },
        is_required=is_required,
        only_one=reading.one_call,
        param=param,
    )


def _param(request: ChatRequest, tools: Sequence[Tool]) -> str | None:
    """Name what of the request wants calls held to their form."""
    if tools and request.tool_choice not in (None, "auto"):
        return "tool_choice"
    strict = [index for index, tool in enumerate(tools) if tool.function.strict]
    if strict:
        return f"tools[{strict[0]}].function.strict"
    return next(iter(request.guidance), None) if tools else None


def _check_parameters(tool: Tool, param: str) -> None:
    """Raise `RequestError` where a schema names no arguments that could be spelled."""
    schema = tool.function.parameters or {}
    names: Any = schema.get("required", [])
    if not isinstance(schema.get("properties", {}), dict):
        wanted = "properties must be an object"
    elif not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        wanted = "required must be a list of names"
    else:
        return
    raise RequestError(
        f"{param}: no schema that a call can be held to: {wanted}",
        param=param,
        code="invalid_value",
    )


def _check_marked(spelling: Spelling, name: str, tokenizer: Tokenizer, param: str) -> None:
    """Raise `RequestError` where a call does not begin with a token that words never have."""
    start = spelling.opening or spelling.begin
    if any(start.startswith(mark) for mark in tokenizer.marks):
        return
    raise RequestError(
        f"{param}: calls in the format {name!r} begin like any other answer, so that only forced"
        " ones can be held to their form; set tool_choice to 'required', to a function or to"
        " 'none'",
        param=param,
        code="unsupported_parameter",
    )
