"""What an answer must be: `response_format` of OpenAI's, and the names that other servers use."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_CHOICES_OF_TEXT = 1024

_STRICT = ConfigDict(
    extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
)


def parsed(value: Any) -> Any:
    """Read JSON that comes as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be JSON, found text that is none: {error}") from error


Schema = Annotated[dict[str, Any], BeforeValidator(parsed)]
"""A JSON schema, or its text."""


class TextFormat(BaseModel):
    """No format: the answer may be anything."""

    model_config = _STRICT

    type: Literal["text"]


class JsonObjectFormat(BaseModel):
    """Any JSON object."""

    model_config = _STRICT

    type: Literal["json_object"]


class NamedSchema(BaseModel):
    """A schema as OpenAI wants it told."""

    model_config = _STRICT

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    schema_: Annotated[Schema, Field(alias="schema")]
    strict: bool | None = None
    """The schema is followed, whether this is true or not."""


class JsonSchemaFormat(BaseModel):
    """JSON by a schema."""

    model_config = _STRICT

    type: Literal["json_schema"]
    json_schema: NamedSchema


class TagStructure(BaseModel):
    """What follows where the answer writes `begin`."""

    model_config = _STRICT

    begin: Annotated[str, Field(min_length=1)]
    schema_: Annotated[Schema, Field(alias="schema")] = {}
    """Of the JSON after it. Default: any JSON."""
    end: str


class StructuralTag(BaseModel):
    """Free text, in which triggers begin structures."""

    model_config = _STRICT

    type: Literal["structural_tag"] = "structural_tag"
    structures: Annotated[list[TagStructure], Field(min_length=1, max_length=128)]
    triggers: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=128)
    ]
    """What the answer writes only where it begins a structure; each `begin` begins with one."""

    @model_validator(mode="after")
    def _triggers_begin_structures(self) -> "StructuralTag":
        for structure in self.structures:
            if not any(structure.begin.startswith(trigger) for trigger in self.triggers):
                raise ValueError(f"begin {structure.begin!r} begins with none of the triggers")
        for trigger in self.triggers:
            if not any(each.begin.startswith(trigger) for each in self.structures):
                raise ValueError(f"trigger {trigger!r} begins no structure")
        return self


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat | StructuralTag, Field(discriminator="type")
]

Choices = Annotated[list[str], Field(min_length=1, max_length=MAX_CHOICES_OF_TEXT)]
Pattern = Annotated[str, Field(min_length=1)]


class StructuredOutputs(BaseModel):
    """One of these; vLLM's newer name of what `guided_*` are."""

    model_config = _STRICT

    json_: Annotated[Schema | None, Field(alias="json")] = None
    regex: Pattern | None = None
    choice: Choices | None = None
    grammar: Pattern | None = None
    json_object: bool | None = None
    structural_tag: Annotated[StructuralTag | None, BeforeValidator(parsed)] = None


class Guided(BaseModel):
    """What an answer must be; one of these at most."""

    model_config = _STRICT

    response_format: ResponseFormat | None = None
    """`json_schema`, `json_object` or `structural_tag`: the answer is that and nothing else.
    Keywords of a schema that cannot be held are refused by name."""
    guided_json: Schema | None = None
    """The answer is JSON by this schema."""
    guided_regex: Pattern | None = None
    """The answer is matched by this regular expression from end to end; no look-around."""
    guided_choice: Choices | None = None
    """The answer is one of these."""
    guided_grammar: Pattern | None = None
    """The answer is of this grammar, in Lark's or GBNF's notation."""
    structured_outputs: StructuredOutputs | None = None
    """`json`, `regex`, `choice`, `grammar`, `json_object` or `structural_tag`, one of them."""

    @property
    def guidance(self) -> Mapping[str, Any]:
        """What is asked for, by the parameter's name; nothing, or one."""
        asked = self._asked().items()
        return {name: value for name, value in asked if value is not None and value is not False}

    def _asked(self) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "response_format": None
            if isinstance(self.response_format, TextFormat)
            else self.response_format,
            "guided_json": self.guided_json,
            "guided_regex": self.guided_regex,
            "guided_choice": self.guided_choice,
            "guided_grammar": self.guided_grammar,
        }
        if (found := self.structured_outputs) is not None:
            asked |= {
                "structured_outputs.json": found.json_,
                "structured_outputs.regex": found.regex,
                "structured_outputs.choice": found.choice,
                "structured_outputs.grammar": found.grammar,
                "structured_outputs.json_object": found.json_object,
                "structured_outputs.structural_tag": found.structural_tag,
            }
        return asked

    @model_validator(mode="after")
    def _one_at_most(self) -> "Guided":
        names = list(self.guidance)
        if len(names) > 1:
            raise ValueError(f"{names[0]} and {names[1]} exclude each other; give one")
        return self
