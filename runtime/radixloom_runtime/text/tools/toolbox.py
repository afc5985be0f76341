"""The tools that a request offers, as far as reading calls needs them.

Formats that write arguments as bare text (`<parameter=n>5</parameter>`) leave their types to the
tool's schema: 5 is a number where the schema wants one, and the string "5" where it wants that.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]

_TYPE_NAMES: tuple[tuple[type, tuple[str, ...]], ...] = (
    (bool, ("boolean",)),  # before int, of which it is one
    (int, ("integer", "number")),
    (float, ("number",)),
    (str, ("string",)),
    (list, ("array",)),
    (dict, ("object",)),
    (type(None), ("null",)),
)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Schemas of parameters, by the name of the tool."""

    schemas: Mapping[str, Schema] = field(default_factory=dict[str, Schema])

    @property
    def names(self) -> frozenset[str]:
        """Names of the tools."""
        return frozenset(self.schemas)

    def argument(self, tool: str, parameter: str, text: str) -> str:
        """Write an argument as JSON that came as bare text."""
        properties = self.schemas.get(tool, {}).get("properties")
        schema = properties.get(parameter) if isinstance(properties, Mapping) else None
        return json.dumps(_typed(text, _types(schema)), ensure_ascii=False)


def _types(schema: object) -> frozenset[str]:
    """Name the JSON types that a schema allows; none where it does not say."""
    if not isinstance(schema, Mapping):
        return frozenset()
    declared = schema.get("type")
    found: set[str] = {declared} if isinstance(declared, str) else set(declared or ())
    if isinstance(values := schema.get("enum"), list):
        found.update(name for value in values for name in _names_of(value))
    for union in ("anyOf", "oneOf"):
        for branch in schema.get(union) or ():
            found |= _types(branch)
    return frozenset(found)


def _typed(text: str, types: frozenset[str]) -> Any:
    if types == frozenset({"string"}):
        return text
    value = _literal(text)
    return value if not types or types.intersection(_names_of(value)) else text


def _literal(text: str) -> Any:
    """Read JSON, or else what Python writes (`True`, `None`), or else a bare string."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        value = ast.literal_eval(text.strip())
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value


def _names_of(value: object) -> tuple[str, ...]:
    return next((names for kind, names in _TYPE_NAMES if isinstance(value, kind)), ())
