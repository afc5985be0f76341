"""A conversation to the text of a prompt, by the template that the checkpoint brings.

Templates are Jinja in the dialect that Hugging Face checkpoints are written for: blocks trimmed,
loop controls, `raise_exception`, `strftime_now`, an unescaped `tojson`, and `generation` blocks,
which only mark the assistant's words. They come from strangers, so they run in Jinja's sandbox.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

from radixloom_runtime.errors import ModelError, RequestError
from radixloom_runtime.text.tokenizer import read_json

Message = Mapping[str, Any]

_TEMPLATE_ERRORS = (
    *(jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError, MemoryError),
)
"""What a template raises on purpose, and what its expressions may meet."""


class ChatTemplate:
    """A compiled template with the special tokens that it may write."""

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        *,
        tools_source: str | None = None,
    ) -> None:
        """Compile `source`; with `tools_source`, that writes prompts with tools.

        Raises: `ModelError` when it is no template.
        """
        environment = _environment()
        try:
            self._template = environment.from_string(source)
            read = meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateSyntaxError as error:
            raise ModelError(
                f"the chat template has an error in line {error.lineno}: {error}"
            ) from error
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ModelError(f"the chat template is nested too deeply: {error}") from error
        self.variables = frozenset(read - environment.globals.keys())
        """What it reads of what `render` gives it."""
        self.source = source
        self.special_tokens = dict(special_tokens)
        self.with_tools = (
            self if tools_source is None else ChatTemplate(tools_source, special_tokens)
        )
        """The template for requests with tools; few checkpoints have one of its own."""

    def render(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Write the prompt, up to where the assistant begins to speak, or to the last turn's end.

        `options` are further variables that it reads.

        Raises: `RequestError` when the template refuses these messages, such as two user turns
        in a row.
        """
        given: dict[str, Any] = {
            **self.special_tokens,
            **(options or {}),
            "tools": list(tools) if tools else None,
            "add_generation_prompt": generation_prompt,
        }
        try:
            return self._render(messages, given)
        except _TEMPLATE_ERRORS as error:
            raise RequestError(
                f"the model's chat template refused the messages: {error}", param="messages"
            ) from error

    def _render(self, messages: Sequence[Message], given: Mapping[str, Any]) -> str:
        """Write arguments of earlier calls as objects, or as text where the template joins them."""
        try:
            return self._template.render(messages=messages, **given)
        except TypeError:
            with_text = [_with_arguments_as_text(message) for message in messages]
            if with_text == list(messages):
                raise
            return self._template.render(messages=with_text, **given)


def _with_arguments_as_text(message: Message) -> Message:
    calls = [
        call | {"function": function | {"arguments": _to_json(function["arguments"])}}
        for call in message.get("tool_calls") or ()
        for function in (call["function"],)
    ]
    return {**message, "tool_calls": calls} if calls else message


def load(folder: Path, special_tokens: Mapping[str, str]) -> ChatTemplate | None:
    """Find the template of the checkpoint in `folder`; None when it has none.

    Raises: `ModelError` when it has one that does not compile.
    """
    sources = _sources(folder)
    source = sources.get("default")
    if source is None:
        return None
    return ChatTemplate(source, special_tokens, tools_source=sources.get("tool_use"))


def _sources(folder: Path) -> dict[str, str]:
    """Read the places where checkpoints keep templates by name, newest convention first."""
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return {"default": own_file.read_text(encoding="utf-8")}
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_json(folder / name).get("chat_template")
        if isinstance(found, list):  # several named ones
            return {entry["name"]: entry["template"] for entry in found}
        if isinstance(found, str):
            return {"default": found}
    return {}


class _GenerationBlocks(Extension):
    """`{% generation %}...{% endgeneration %}` renders as what is inside."""

    tags = {"generation"}  # noqa: RUF012 - the name and type that Jinja reads

    @override
    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    functions: dict[str, Any] = {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    environment.globals.update(functions)
    return environment


def _to_json(value: object, **options: Any) -> str:
    """Jinja's own filter escapes HTML, which a model was never trained on."""
    arguments: dict[str, Any] = {"ensure_ascii": False} | options
    return json.dumps(value, **arguments)


def _raise_exception(message: str) -> str:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)
