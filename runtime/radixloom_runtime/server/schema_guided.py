"""What an answer must be: `response_format` of OpenAI's, and the names that other servers use."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_CHOICES_OF_TEXT = 1024

_Value = TypeVar("_Value")

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


@dataclass(frozen=True, slots=True)
class InJson:
    """JSON by a schema."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Matched:
    """Text that a regular expression matches from end to end."""

    pattern: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class InGrammar:
    """Text of a grammar, in Lark's or GBNF's notation."""

    text: str


Content = InJson | Matched | OneOf | InGrammar | StructuralTag
"""What an answer's content can be held to."""
ANY_OBJECT = InJson({"type": "object"})


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
    def guidance(self) -> Mapping[str, Content]:
        """What is asked for, by the parameter's name; nothing, or one."""
        asked = {
            "response_format": _of_format(self.response_format),
            "guided_json": _given(InJson, self.guided_json),
            "guided_regex": _given(Matched, self.guided_regex),
            "guided_choice": _given(OneOf, self.guided_choice),
            "guided_grammar": _given(InGrammar, self.guided_grammar),
        }
        if (found := self.structured_outputs) is not None:
            asked |= {
                "structured_outputs.json": _given(InJson, found.json_),
                "structured_outputs.regex": _given(Matched, found.regex),
                "structured_outputs.choice": _given(OneOf, found.choice),
                "structured_outputs.grammar": _given(InGrammar, found.grammar),
                "structured_outputs.json_object": ANY_OBJECT if found.json_object else None,
                "structured_outputs.structural_tag": found.structural_tag,
            }
        return {name: content for name, content in asked.items() if content is not None}

    @model_validator(mode="after")
    def _one_at_most(self) -> "Guided":
        names = list(self.guidance)
        if len(names) > 1:
            raise ValueError(f"{names[0]} and {names[1]} exclude each other; give one")
        return self


def _given(kind: Callable[[_Value], Content], value: _Value | None) -> Content | None:
    return None if value is None else kind(value)


def _of_format(
    found: TextFormat | JsonObjectFormat | JsonSchemaFormat | StructuralTag | None,
) -> Content | None:
    match found:
        case JsonSchemaFormat():
            return InJson(found.json_schema.schema_)
        case JsonObjectFormat():
            return ANY_OBJECT
        case StructuralTag():
            return found
        case TextFormat() | None:
            return None
