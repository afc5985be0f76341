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
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

from radixloom_runtime.errors import ModelError, RequestError
from radixloom_runtime.text.tokenizer import read_json

Message = Mapping[str, Any]


class ChatTemplate:
    """A compiled template with the special tokens that it may write."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """Compile `source`. Raises: `ModelError` when it is no template."""
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ModelError(
                f"the checkpoint's chat template has an error in line {error.lineno}: {error}"
            ) from error
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message], *, generation_prompt: bool = True) -> str:
        """Write the prompt, up to where the assistant begins to speak, or to the last turn's end.

        Raises: `RequestError` when the template refuses these messages, such as two user turns
        in a row.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                add_generation_prompt=generation_prompt,
                **self._special_tokens,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise RequestError(
                f"the model's chat template refused the messages: {error}", param="messages"
            ) from error


def load(folder: Path, special_tokens: Mapping[str, str]) -> ChatTemplate | None:
    """Find the template of the checkpoint in `folder`; None when it has none.

    Raises: `ModelError` when it has one that does not compile.
    """
    source = _source(folder)
    return None if source is None else ChatTemplate(source, special_tokens)


def _source(folder: Path) -> str | None:
    """Read the places where checkpoints keep it, newest convention first."""
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_json(folder / name).get("chat_template")
        if isinstance(found, list):  # several named ones
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
        if isinstance(found, str):
            return found
    return None


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
