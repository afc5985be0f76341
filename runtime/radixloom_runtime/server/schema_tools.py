"""Tools in a chat completion's body: those offered, the choice among them, and earlier calls."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

MAX_TOOLS = 128
"""OpenAI's."""

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]+$", max_length=128)]


class Function(BaseModel):
    """A function that the model may call."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON schema of an object. Default: no parameters."""
    strict: bool | None = None
    """True: arguments are held to their schema. Those of a call that `tool_choice` forces are,
    whether this is true or not."""


class Tool(BaseModel):
    """A tool; only functions are supported."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    type: Literal["function"]
    function: Function

    def for_template(self) -> dict[str, Any]:
        """Return the tool as chat templates read it: as the client wrote it, no empty fields."""
        function = self.function.model_dump(exclude_none=True, exclude={"strict"})
        return {"type": self.type, "function": function}


def object_as_text(value: str) -> str:
    """Check that a call's arguments are a JSON object; none are an empty one."""
    try:
        found = json.loads(value or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be a JSON object as text: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object as text")  # noqa: TRY004 - pydantic's protocol
    return value or "{}"


class CalledFunction(BaseModel):
    """The function of an earlier call."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    name: str
    arguments: Annotated[str, AfterValidator(object_as_text)]
    """A JSON object, as text."""


class ToolCall(BaseModel):
    """An earlier call of the assistant's."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None
    """Of a stream's delta; means nothing here."""

    def for_template(self) -> dict[str, Any]:
        """Return the call as chat templates read it, arguments as an object."""
        arguments = json.loads(self.function.arguments)
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": function}


@dataclass(frozen=True, slots=True)
class NamedTool:
    """A choice of one function."""

    name: str


Choice = Literal["none", "auto", "required"] | NamedTool


def _choice(value: Any) -> Choice | None:
    """Tell the forms apart by hand: a union would report an error for each of its branches."""
    match value:
        case None | "none" | "auto" | "required":
            return value
        case {"type": "function", "function": {"name": str(name)}}:
            return NamedTool(name)
        case _:
            pass
    raise ValueError(
        "must be 'none', 'auto', 'required', or"
        ' {"type": "function", "function": {"name": "..."}}'
    )


ToolChoice = Annotated[
    Choice | None,
    PlainValidator(_choice),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": ["none", "auto", "required"]},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": "function"},
                        "function": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}},
                            "required": ["name"],
                        },
                    },
                    "required": ["type", "function"],
                },
                {"type": "null"},
            ]
        }
    ),
]
