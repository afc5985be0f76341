"""Items: what a conversation consists of, in the body of `POST /v1/responses`."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
)

from radixloom_runtime.server.schema_tools import FunctionName, object_as_text

STRICT = ConfigDict(
    extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
)

Nothing = Annotated[list[Any], Field(max_length=0)]
Status = Literal["in_progress", "completed", "incomplete"]


class TextPart(BaseModel):
    """Words; the other fields are empty in answers, and only so taken."""

    model_config = STRICT

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Nothing | None = None
    logprobs: Nothing | None = None


def _parts(value: Any) -> Any:
    """Take a string for a part of text, and name the first part of another kind."""
    if isinstance(value, str):
        return [{"type": "input_text", "text": value}]
    parts: list[Any] = value if isinstance(value, list) else []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else part
        if kind not in ("input_text", "output_text"):
            raise ValueError(
                "only parts of type input_text and output_text are supported by this server,"
                f" part {index} is {kind!r}"
            )
    return value


Texts = Annotated[
    list[TextPart],
    BeforeValidator(_parts, json_schema_input_type=str | list[TextPart]),
]
"""A string or parts of text."""


def text_of(parts: list[TextPart]) -> str:
    """Join the words of parts."""
    return "".join(part.text for part in parts)


class Item(BaseModel):
    """What all items may have, and what means nothing when they are sent back."""

    model_config = STRICT

    id: str | None = None
    status: Status | None = None


class MessageItem(Item):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Texts


class FunctionCallItem(Item):
    """An earlier call of the assistant's."""

    type: Literal["function_call"]
    call_id: str
    name: FunctionName
    arguments: Annotated[str, AfterValidator(object_as_text)]
    """A JSON object, as text."""


class FunctionCallOutputItem(Item):
    """What a function answered."""

    type: Literal["function_call_output"]
    call_id: str
    output: Texts


class ReasoningText(BaseModel):
    """Thoughts as they were."""

    model_config = STRICT

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(Item):
    """What the assistant thought, for chat templates that want to see it again."""

    type: Literal["reasoning"]
    summary: Nothing = Field(default_factory=list[Any])
    content: list[ReasoningText] | None = None
    encrypted_content: None = None


AnyItem = MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem
_KINDS = ("message", "reasoning", "function_call", "function_call_output")


def _kind_of(item: dict[str, Any]) -> Any:
    return item.get("type", "message")


def _items(value: Any) -> Any:
    """Take a string for what the user said, and name the first item of another kind."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    items: list[Any] = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        kind = _kind_of(item) if isinstance(item, dict) else item
        if kind not in _KINDS:
            raise ValueError(
                f"only items of type {', '.join(_KINDS)} are supported by this server,"
                f" item {index} is {kind!r}"
            )
    return value


def _branch(item: Any) -> str:
    """Tell the union's branch; the brackets keep it out of the paths of error messages."""
    return f"<{_kind_of(item) if isinstance(item, dict) else item.type}>"


Items = Annotated[
    list[
        Annotated[
            Annotated[MessageItem, Tag("<message>")]
            | Annotated[FunctionCallItem, Tag("<function_call>")]
            | Annotated[FunctionCallOutputItem, Tag("<function_call_output>")]
            | Annotated[ReasoningItem, Tag("<reasoning>")],
            Discriminator(_branch),
        ]
    ],
    Field(min_length=1),
    BeforeValidator(_items, json_schema_input_type=str | list[dict[str, Any]]),
]
"""A string or items of any kind."""

ITEMS: TypeAdapter[list[AnyItem]] = TypeAdapter(Items)
