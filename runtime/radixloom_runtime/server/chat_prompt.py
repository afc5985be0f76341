"""A chat's messages, tools and template options as the text of a prompt, and how to read answers.

    messages, tools ─┐
    chat_template ───┼─► text ─► Reading: begins in reasoning?
    options ─────────┘

What the template has no place for is refused: it would be accepted and ignored.
"""

from dataclasses import dataclass
from typing import Any

from radixloom_runtime.errors import ModelError, RequestError
from radixloom_runtime.server import guided, tool_choice
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.guided import Grammar
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_tools import Tool
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.text.reasoning import REASONING_TAGS, reasoning_format_of
from radixloom_runtime.text.tools.registry import tool_format_of
from radixloom_runtime.text.tools.toolbox import Toolbox

_THINKING = ("enable_thinking", "thinking")
"""What templates call the switch."""
_RESERVED = frozenset({"messages", "tools", "add_generation_prompt"})


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """What the model reads, and how its answers are read."""

    text: str
    reading: Reading
    grammar: Grammar | None
    """What its answers must be."""


def write(request: ChatRequest, model: ServedModel) -> ChatPrompt:
    """Write the prompt. Raises: `RequestError` naming what the model's template does not know."""
    tools = _offered(request)
    template = _template(request, model)
    template = template.with_tools if tools else template
    if tools and "tools" not in template.variables:
        raise RequestError(
            f"the chat template of {model.name!r} has no place for tools; leave them out",
            param="tools",
            code="unsupported_parameter",
        )
    if "tool_calls" not in template.source and any(each.tool_calls for each in request.messages):
        raise RequestError(
            f"the chat template of {model.name!r} has no place for earlier calls of tools",
            param="messages",
            code="unsupported_parameter",
        )
    continues = bool(request.continue_final_message)
    text = template.render(
        [message.for_template() for message in request.messages],
        generation_prompt=not continues and request.add_generation_prompt is not False,
        tools=[tool.for_template() for tool in tools],
        options=_options(request, template),
    )
    if continues:
        text = _up_to_the_end_of(request.messages[-1].text, text)
    reading = _reading(request, tools, model, template, text)
    calls = tool_choice.calls_of(request, tools, reading, template.source, model.tokenizer)
    grammar = guided.of_chat(request, reading, calls, model.tokenizer)
    return ChatPrompt(text, reading, grammar)


def _offered(request: ChatRequest) -> list[Tool]:
    """List the tools that the model is told of."""
    return [] if request.tool_choice == "none" else request.tools or []


def _template(request: ChatRequest, model: ServedModel) -> ChatTemplate:
    known = model.chat_template
    if request.chat_template is not None:
        if not model.takes_templates:
            raise RequestError(
                "chat_template: this server takes none from requests (--request-chat-template"
                " allows it); write the prompt yourself and use /v1/completions",
                param="chat_template",
                code="unsupported_parameter",
            )
        try:
            return ChatTemplate(request.chat_template, model.tokenizer.special_tokens)
        except ModelError as error:
            raise RequestError(str(error), param="chat_template", code="invalid_value") from error
    if known is None:
        raise RequestError(
            f"the model {model.name!r} has no chat template; use /v1/completions",
            code="no_chat_template",
        )
    return known


def _options(request: ChatRequest, template: ChatTemplate) -> dict[str, Any]:
    """Collect the template's further variables. Raises: `RequestError` for one it does not read."""
    options = dict(request.chat_template_kwargs or {})
    readable = template.variables - _RESERVED
    for name in options:
        if name not in readable:
            raise _not_read(name, f"chat_template_kwargs.{name}")
    if request.enable_thinking is not None:
        options[_switch(template, "enable_thinking")] = request.enable_thinking
    effort = request.reasoning_effort
    if effort == "none" and "reasoning_effort" not in readable:
        options[_switch(template, "reasoning_effort")] = False
    elif effort is not None:
        if "reasoning_effort" not in readable:
            raise _not_read("reasoning_effort", "reasoning_effort")
        options["reasoning_effort"] = effort
    return options


def _switch(template: ChatTemplate, param: str) -> str:
    """Find what the template calls the switch of thinking."""
    for name in _THINKING:
        if name in template.variables:
            return name
    raise _not_read("enable_thinking", param)


def _not_read(name: str, param: str) -> RequestError:
    return RequestError(
        f"{param}: the model's chat template does not read {name!r}; leave it out",
        param=param,
        code="unsupported_parameter",
    )


def _up_to_the_end_of(last: str, text: str) -> str:
    """Cut a prompt after its last message's words, which templates may strip."""
    for words in (last, last.rstrip(), last.strip()):
        start = text.rfind(words) if words else -1
        if start >= 0:
            return text[: start + len(words)]
    raise RequestError(
        "the model's chat template changes the last message, so that it cannot be continued",
        param="continue_final_message",
        code="invalid_value",
    )


def _reading(
    request: ChatRequest,
    tools: list[Tool],
    model: ServedModel,
    template: ChatTemplate,
    text: str,
) -> Reading:
    tool_format, reasoning = model.tool_format, model.reasoning_format
    if request.chat_template is not None:
        tool_format = tool_format_of(template.source) or tool_format
        reasoning = reasoning_format_of(template.source) or reasoning
    if tools and tool_format is None:
        raise RequestError(
            f"no format of tool calls is known of {model.name!r}; name one with --tool-call-parser",
            param="tools",
            code="unsupported_parameter",
        )
    tags = REASONING_TAGS.get(reasoning or "")
    return Reading(
        tool_format=tool_format if tools else None,
        reasoning_format=reasoning,
        toolbox=Toolbox({tool.function.name: tool.function.parameters or {} for tool in tools}),
        begins_in_reasoning=tags is not None and tags.is_open_at_end_of(text),
        tells_reasoning_apart=request.separate_reasoning is not False,
        one_call=request.wants_one_call,
    )
