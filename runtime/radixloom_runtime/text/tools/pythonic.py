"""Llama 4, and Llama 3.2 as some prompt it: a list of Python calls.

    [get_weather(city='Paris', days=3), get_time(zone="CET")]

Each call is told once it is complete. What is no list of calls with literal, named arguments is
content.
"""

import ast
import re
from typing import Any

from typing_extensions import override

from radixloom_runtime.text.events import CallArguments
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools.spelling import Argument, Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox, to_json

BEGIN, END = "<|python_start|>", "<|python_end|>"
SPELLING = Spelling(
    opening="[",
    begin="{name}(",
    end=")",
    between=", ",
    closing="]",
    argument=Argument(begin="{name}=", end="", between=", ", has_bare_strings=False),
)

_NAME = re.compile(r"[A-Za-z_][\w.]*(?=\(|$)")
_JSON_NAMES = {"true": True, "false": False, "null": None}


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read the list of calls, or else content; what follows the list is content."""
    source.begin()
    yield from source.skip_space()
    yield from source.starts_with(BEGIN)
    yield from source.skip_space()
    is_list = yield from source.starts_with("[")
    before = source.commit()
    if not is_list or not (yield from _call(source)):
        yield from source.content(before)
    else:
        yield from _more_calls(source)
    yield from source.content_until()


def _more_calls(source: Source) -> Reader[None]:
    while True:
        yield from source.skip_space()
        if not (yield from source.starts_with(",")):
            break
        yield from source.skip_space()
        if not (yield from _call(source)):
            break
    yield from source.starts_with("]")
    yield from source.skip_space()
    yield from source.starts_with(END)


def _call(source: Source) -> Reader[bool]:
    """Read a call, which comes next. False: it is none, and nothing was read."""
    source.begin()
    found = _parsed((yield from _call_text(source)))
    if found is None:
        source.rollback()
        return False
    source.commit()
    name, arguments = found
    index = yield from source.call(name)
    yield CallArguments(index, arguments)
    return True


def _call_text(source: Source) -> Reader[str]:
    """Read from a name to its closing parenthesis; give up where no name comes."""
    text = ""
    end = _CallEnd()
    while (piece := (yield from source.some())) and _NAME.match(text + piece):
        length = end.find(piece)
        if length is not None:
            source.unread(piece[length:])
            return text + piece[:length]
        text += piece
    return ""


class _CallEnd:
    """Finds the parenthesis that closes a call, in text that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._is_escaped = False

    def find(self, text: str) -> int | None:
        for at, character in enumerate(text):
            if self._quote:
                self._string(character)
            elif character in "'\"":
                self._quote = character
            elif character in "([{":
                self._depth += 1
            elif character in ")]}":
                self._depth -= 1
                if self._depth == 0:
                    return at + 1
        return None

    def _string(self, character: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == self._quote:
            self._quote = ""


def _parsed(text: str) -> tuple[str, str] | None:
    """Return a call's name, and its arguments as JSON."""
    name, parenthesis, rest = text.partition("(")
    if not parenthesis:
        return None
    try:
        call = ast.parse("f(" + rest, mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            return None
        arguments = {_keyword(each): _literal(each.value) for each in call.keywords}
        return name, to_json(arguments)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _keyword(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError("arguments must have names")
    return keyword.arg


def _literal(node: ast.expr) -> Any:
    """Read a literal, in which JSON's names stand for what they mean there."""
    return ast.literal_eval(_AsPython().visit(node))


class _AsPython(ast.NodeTransformer):
    @override
    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in _JSON_NAMES:
            return ast.Constant(_JSON_NAMES[node.id])
        return node
