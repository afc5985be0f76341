"""What an API server says of an object by our CustomResourceDefinition, without one.

Defaults are filled in, then the schema is checked, then every CEL rule whose object is there. The
real API server remains the judge (tests/e2e/test_4_refusals.py); its cost limits are not here.
"""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import celpy
import jsonschema
from celpy import celtypes

from radixloom_operator.api.schema import custom_resource_definition

Schema = dict[str, Any]

SCHEMA: Schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
_ENVIRONMENT = celpy.Environment()


def refusals(manifest: dict[str, Any]) -> list[str]:
    """List what is wrong with an LLMService; empty where it would be taken."""
    filled = with_defaults(SCHEMA, copy.deepcopy(manifest))
    broken = [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(filled)
    ]
    return broken or [*_broken_rules(SCHEMA, filled)]


def with_defaults(schema: Schema, value: Any) -> Any:
    """Fill defaults in, in place, as the API server does."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, child in properties.items():
            if name not in value and "default" in child:
                value[name] = copy.deepcopy(child["default"])
    for child, inner in _children(schema, value):
        with_defaults(child, inner)
    return value


def _broken_rules(schema: Schema, value: Any) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _holds(rule["rule"], value):
            yield rule["message"]
    for child, inner in _children(schema, value):
        yield from _broken_rules(child, inner)


def _children(schema: Schema, value: Any) -> Iterator[tuple[Schema, Any]]:
    """Pair what is inside a value with its schema."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        for name, inner in value.items():
            yield properties.get(name, others), inner
    elif isinstance(value, list):
        for inner in value:
            yield schema.get("items", {}), inner


def _holds(expression: str, value: Any) -> bool:
    return bool(_program(expression).evaluate({"self": celpy.json_to_cel(value)}))


@cache
def _program(expression: str) -> celpy.Runner:
    return _ENVIRONMENT.program(_ENVIRONMENT.compile(expression), functions={"split": _split})


def _split(text: celtypes.StringType, by: celtypes.StringType) -> celtypes.ListType:
    """Do what Kubernetes' CEL has beyond the language's own functions."""
    return celtypes.ListType([celtypes.StringType(part) for part in text.split(by)])
