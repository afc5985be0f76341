"""Calls written as JSON: `{"name": "f", "arguments": {...}}`, with `parameters` as another name.

Arguments are passed on as the model writes them, without waiting for their end. A call whose name
comes after its arguments waits for the name.
"""

import json
from collections.abc import Collection

from radixloom_runtime.text.events import CallArguments
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools.toolbox import well_formed

_ARGUMENTS = frozenset({"arguments", "parameters"})
_OTHERS = frozenset({"type", "id"})
"""What models write beside them."""


class ValueEnd:
    """Finds where a JSON value ends, in text that comes in pieces. It does not check the value."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._has_begun = False

    def find(self, text: str) -> int | None:
        """Return how much of `text` belongs to the value; None: all of it, and more may come."""
        for at, character in enumerate(text):
            if self._in_string:
                ended = self._string(character)
            elif self._is_after_scalar(character):
                return at
            else:
                ended = self._outside(character)
            if ended:
                return at + 1
        return None

    def _string(self, character: str) -> bool:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            self._in_string = False
            return self._depth == 0
        return False

    def _outside(self, character: str) -> bool:
        self._has_begun = True
        if character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            return self._depth <= 0
        return False

    def _is_after_scalar(self, character: str) -> bool:
        return self._depth == 0 and self._has_begun and (character in ",]}" or character.isspace())


def value(source: Source) -> Reader[str]:
    """Read a JSON value; what is there of it, when the text ends within."""
    end = ValueEnd()
    pieces: list[str] = []
    while piece := (yield from source.some()):
        length = end.find(piece)
        if length is not None:
            source.unread(piece[length:])
            pieces.append(piece[:length])
            break
        pieces.append(piece)
    return "".join(pieces)


def arguments(source: Source, index: int) -> Reader[None]:
    """Pass on a call's arguments, which come next."""
    yield from source.skip_space()
    if begin := (yield from source.starts_with('"', "null")):  # JSON in a string, or no arguments
        source.unread(begin)
        yield CallArguments(index, _unquoted((yield from value(source))))
        return
    end = ValueEnd()
    while piece := (yield from source.some()):
        length = end.find(piece)
        used = piece if length is None else piece[:length]
        if used:
            yield CallArguments(index, used)
        if length is not None:
            source.unread(piece[length:])
            return


def call(source: Source, names: Collection[str] | None = None) -> Reader[bool]:
    """Read a call, which comes next. False: it is none, and nothing was read.

    With `names`, only a call of one of these is one.
    """
    source.begin()
    is_object = yield from source.starts_with("{")
    head = (yield from _head(source, names)) if is_object else None
    if head is None:
        source.rollback()
        return False
    source.commit()
    name, early_arguments = head
    index = yield from source.call(name)
    yield from _rest(source, index, early_arguments)
    return True


def _head(source: Source, names: Collection[str] | None) -> Reader[tuple[str, str | None] | None]:
    """Read the members up to the name; return it, and the arguments if they came before it."""
    early_arguments = None
    while key := (yield from _key(source)):
        text = yield from value(source)
        if key == "name":
            name = _unquoted(text) if text.startswith('"') else ""
            is_known = bool(name) and (names is None or name in names)
            return (name, early_arguments) if is_known else None
        if key in _ARGUMENTS:
            early_arguments = _unquoted(text)
        elif key not in _OTHERS:
            return None
    return None


def _rest(source: Source, index: int, early_arguments: str | None) -> Reader[None]:
    """Read the members after the name, the arguments among them, and the object's end."""
    has_arguments = early_arguments is not None
    if early_arguments is not None:
        yield CallArguments(index, early_arguments)
    while key := (yield from _key(source)):
        if key in _ARGUMENTS and not has_arguments:
            has_arguments = True
            yield from arguments(source, index)
        else:
            yield from value(source)
    if key is None and not has_arguments:
        yield CallArguments(index, "{}")


def _key(source: Source) -> Reader[str | None]:
    """Read the next member's name and colon; None at the object's end, "" where none comes."""
    yield from source.skip_space()
    if (yield from source.starts_with(",")):
        yield from source.skip_space()
    begin = yield from source.starts_with("}", '"')
    if begin != '"':
        return None if begin else ""
    source.unread(begin)
    text = yield from value(source)
    yield from source.skip_space()
    colon = yield from source.starts_with(":")
    yield from source.skip_space()
    return _unquoted(text) if colon else ""


def _unquoted(text: str) -> str:
    """Take a string out of its quotes; no arguments are an empty object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, str):
        return well_formed(found)
    return "{}" if found is None else text
