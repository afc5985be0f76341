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


_MAX_DEPTH = 8
"""Unions within unions; deeper ones say nothing."""


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
        return to_json(_typed(text, _types(schema)))


def to_json(value: object) -> str:
    """Write JSON that every client reads. Raises: `ValueError` for what JSON has no form of."""
    return well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False))


def well_formed(text: str) -> str:
    r"""Replace halves of characters, which a model may write as escapes (`\ud800`)."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _types(schema: object, depth: int = 0) -> frozenset[str]:
    """Name the JSON types that a schema allows; none where it does not say.

    Schemas come from clients: what is no schema says nothing.
    """
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return frozenset()
    found = {each for each in _as_list(schema.get("type")) if isinstance(each, str)}
    if isinstance(values := schema.get("enum"), list):
        found.update(name for value in values for name in _names_of(value))
    for union in ("anyOf", "oneOf"):
        for branch in _as_list(schema.get(union)):
            found |= _types(branch, depth + 1)
    return frozenset(found)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _typed(text: str, types: frozenset[str]) -> Any:
    if types == frozenset({"string"}):
        return text
    value = _literal(text)
    return value if not types or types.intersection(_names_of(value)) else text


def _literal(text: str) -> Any:
    """Read JSON, or else what Python writes (`True`, `None`), or else a bare string."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text.strip())
            to_json(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return value
    return text


def _names_of(value: object) -> tuple[str, ...]:
    return next((names for kind, names in _TYPE_NAMES if isinstance(value, kind)), ())
