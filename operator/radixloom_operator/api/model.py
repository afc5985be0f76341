"""What every model of the API is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel


def rule(expression: str, message: str) -> JsonValue:
    """Return one rule: a CEL expression and the sentence shown when it is false."""
    return {"rule": expression, "message": message}


def cel(*rules: JsonValue) -> dict[str, JsonValue]:
    """Attach rules to a schema; the API server refuses an object that breaks one."""
    return {"x-kubernetes-validations": [*rules]}


OPEN: dict[str, JsonValue] = {"x-kubernetes-preserve-unknown-fields": True}
"""An object that Kubernetes itself defines and checks."""
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|Ki|[MGTPE]i?)?$"
"""As Kubernetes writes amounts: 500m, 1.5, 2Gi."""
QUANTITY: dict[str, JsonValue] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "pattern": QUANTITY_PATTERN,
}

_MULTIPLES = {"m": 1e-3, "": 1, "k": 1e3, "Ki": 1 << 10} | {
    letter + suffix: base**power
    for power, letter in enumerate("MGTPE", start=2)
    for suffix, base in (("", 1000), ("i", 1024))
}


def quantity_value(quantity: str) -> float:
    """Return the number that a quantity stands for: 1.5Gi is 1610612736."""
    number = quantity.rstrip("mkKMGTPEi")
    return float(number) * _MULTIPLES[quantity[len(number) :]]


ObjectName = Annotated[str, Field(min_length=1, max_length=253)]


class ApiModel(BaseModel):
    """Camel case outside, unknown fields refused, nothing changes after reading."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )
