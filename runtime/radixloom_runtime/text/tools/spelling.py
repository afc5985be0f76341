r"""How a format writes calls of tools, so that a grammar can hold a model to them.

    opening call between call closing
            │
            begin arguments end         <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>

Arguments are one JSON object, or each is written by itself (`Argument`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radixloom_runtime.text.grammar import Rules, any_of, of_json

Parameters = Mapping[str, Any]
"""JSON schema of an object."""


@dataclass(frozen=True, slots=True)
class Argument:
    """How one argument is written; `{name}` stands for its own."""

    begin: str
    end: str
    between: str = ""
    has_bare_strings: bool = True
    """Strings are written as they are, up to `end`; others are JSON everywhere."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How calls are written; `{name}` stands for the function's."""

    begin: str
    end: str
    opening: str = ""
    between: str = ""
    closing: str = ""
    number: str = ""
    """Between `begin` and `head_end`: a regular expression of the call's number."""
    head_end: str = ""
    argument: Argument | None = None
    """None: the arguments are one JSON object."""
    sign: str = ""
    """What a chat template has that writes calls so; for formats with several spellings."""
    only_one: bool = False

    def call(self, rules: Rules, tools: Mapping[str, Parameters]) -> str:
        """Return an expression of a call of any of the tools."""
        return any_of(self._call_of(rules, name, tools[name]) for name in tools)

    def calls(self, rules: Rules, tools: Mapping[str, Parameters], *, only_one: bool) -> str:
        """Return an expression of one or more calls, and nothing else."""
        call = rules.add(self.call(rules, tools))
        more = "" if only_one or self.only_one else f"({_joined(rules, self.between)} {call})*"
        return _sequence(_joined(rules, self.opening), call, more, _joined(rules, self.closing))

    def _call_of(self, rules: Rules, name: str, parameters: Parameters) -> str:
        if self.argument is None:
            arguments = of_json(closed(parameters))
        else:
            arguments = _Arguments(rules, self.argument, parameters).all()
        return _sequence(
            rules.literal(self.begin.replace("{name}", name)),
            f"/{self.number}/" if self.number else "",
            _joined(rules, self.head_end),
            arguments,
            _joined(rules, self.end),
        )


def closed(parameters: Parameters) -> Parameters:
    """Return a schema of arguments that allows no others than it names."""
    if not parameters:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if "properties" not in parameters or "additionalProperties" in parameters:
        return parameters
    return {**parameters, "additionalProperties": False}


def spelling_for(spellings: Sequence[Spelling], template: str) -> Spelling:
    """Choose how calls are written by what the chat template has."""
    return next((each for each in spellings if each.sign in template), spellings[-1])


class _Arguments:
    """Arguments each by itself, in the order of the schema; those that need not be may be left."""

    def __init__(self, rules: Rules, form: Argument, parameters: Parameters) -> None:
        self._rules = rules
        self._form = form
        self._root = parameters
        self._properties = list(parameters.get("properties", {}).items())
        self._required = set(parameters.get("required", ()))
        self._made: dict[tuple[int, bool], str] = {}

    def all(self) -> str:
        return self._from(0, is_first=True)

    def _from(self, index: int, *, is_first: bool) -> str:
        """Return an expression of the arguments from `index` on."""
        if index == len(self._properties):
            return '""'
        key = (index, is_first or not self._form.between)
        if key not in self._made:
            name, schema = self._properties[index]
            taken = _sequence(
                "" if is_first else _joined(self._rules, self._form.between),
                self._argument(name, schema),
                self._from(index + 1, is_first=False),
            )
            ways = [taken]
            if name not in self._required:
                ways.append(self._from(index + 1, is_first=is_first))
            self._made[key] = self._rules.add(any_of(ways))
        return self._made[key]

    def _argument(self, name: str, schema: Any) -> str:
        rules, form = self._rules, self._form
        begin = rules.literal(form.begin.replace("{name}", name))
        if form.has_bare_strings and _is_text(schema):
            if isinstance(values := schema.get("enum"), list):
                texts = any_of(rules.literal(str(value)) for value in values)
                return _sequence(begin, texts, _joined(rules, form.end))
            return _sequence(begin, rules.text_until(form.end))
        return _sequence(begin, of_json(self._rooted(schema)), _joined(rules, form.end))

    def _rooted(self, schema: Any) -> Any:
        """Bring along the definitions that a part of a schema may refer to."""
        if not isinstance(schema, Mapping):
            return schema
        kept = {name: self._root[name] for name in ("$defs", "definitions") if name in self._root}
        return {**kept, **schema}


def _is_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    values = schema.get("enum")
    is_listed = isinstance(values, list) and bool(values)
    return schema.get("type") == "string" or (
        is_listed and all(isinstance(value, str) for value in values or ())
    )


def _joined(rules: Rules, text: str) -> str:
    return rules.literal(text) if text else ""


def _sequence(*expressions: str) -> str:
    return " ".join(filter(None, _nonempty(expressions))) or '""'


def _nonempty(expressions: Iterable[str]) -> list[str]:
    return [each for each in expressions if each != '""']
