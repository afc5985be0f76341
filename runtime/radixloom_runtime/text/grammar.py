r"""Grammars of answers, written for llguidance: a dialect of Lark.

    start: r1? r2                                the model may think first
    r1: <[151667]> /(.|\n)*/ <[151668]> ...      between tags that are tokens of their own
    r2: %json {"type": "object", ...}            and then has to answer by a schema

A token that stands for no text, such as a tag, is named by its id, since text never matches it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from radixloom_runtime.text.reasoning import ThinkTags

ANYTHING = "/(.|\\n)*/"
_BLANKS = "/\\s{0,4}/"

JSON_STYLE: Mapping[str, Any] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": True,
}
"""As `json.dumps` writes: among blanks at will, which JSON allows, small models lose themselves.
`oneOf` is taken for `anyOf`. A schema says otherwise in `x-guidance`."""


@dataclass(slots=True)
class Rules:
    """The rules of one grammar, as they are collected."""

    token_ids: Mapping[str, int]
    """Of tokens that stand for no text."""
    _lines: list[str] = field(default_factory=list[str])
    _others: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, body: str, attributes: str = "") -> str:
        """Add a rule; return its name."""
        name = f"r{len(self._lines) + 1}"
        self._lines.append(f"{name}{attributes}: {body}")
        return name

    def add_grammar(self, text: str) -> str:
        """Add somebody's whole grammar, with names of its own; return what stands for it."""
        name = f"g{len(self._others) + 1}"
        self._others[name] = text
        return f"@{name}"

    def literal(self, text: str) -> str:
        """Return an expression of exactly this text, in which tokens may be named."""
        if not self.token_ids:
            return quoted(text)
        names = sorted(self.token_ids, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
        return " ".join(
            f"<[{self.token_ids[part]}]>" if part in self.token_ids else quoted(part)
            for part in parts
            if part
        )

    def text_until(self, end: str) -> str:
        """Return an expression of any text up to the first `end`, and that."""
        if end in self.token_ids:
            return f"{ANYTHING} {self.literal(end)}"
        return self.add(ANYTHING, f"[suffix={quoted(end)}]")

    def thinking(self, tags: ThinkTags, *, is_open: bool) -> str:
        """Return an expression of what a model may think before it speaks, or must end to think."""
        rest = f"{self.text_until(tags.end)} {_BLANKS}"
        return rest if is_open else f"({self.literal(tags.begin)} {rest})?"

    def written(self, start: str) -> str:
        """Return the whole grammar, whose answers are those of the expression `start`."""
        lark = "\n".join([f"start: {start}", *self._lines])
        if not self._others:
            return lark
        parts = [{"name": "start", "lark_grammar": lark}]
        parts += [{"name": name, "lark_grammar": text} for name, text in self._others.items()]
        return json.dumps({"grammars": parts})


def quoted(text: str) -> str:
    """Return an expression of exactly this text."""
    return json.dumps(text, ensure_ascii=False)


def any_of(expressions: Iterable[str]) -> str:
    """Return an expression of any of these."""
    return "(" + " | ".join(expressions) + ")"


def of_json(schema: object) -> str:
    """Return an expression of JSON that a schema allows; what is none, its compiler tells."""
    if not isinstance(schema, Mapping):
        return f"%json {json.dumps(schema)}"
    given: Mapping[str, Any] = cast("Mapping[str, Any]", schema)
    asked = given.get("x-guidance", {})
    style = {**JSON_STYLE, **asked} if isinstance(asked, Mapping) else asked
    return f"%json {json.dumps({**given, 'x-guidance': style})}"


def of_regex(pattern: str) -> str:
    """Return an expression of text that a regular expression matches from end to end."""
    escaped = re.sub(r"\\.|/", lambda found: "\\/" if found[0] == "/" else found[0], pattern)
    return f"/{escaped}/".replace("\n", "\\n")
