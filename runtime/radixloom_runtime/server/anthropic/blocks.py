"""Content blocks in the body of `POST /v1/messages`.

user        text, tool_result
assistant   text, thinking, tool_use
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from radixloom_runtime.server.schema_tools import FunctionName

STRICT = ConfigDict(
    extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
)


def _named(*kinds: str) -> BeforeValidator:
    """Take a string for a block of text, and name the first block of another kind.

    A union's own message would list every form that a block may have.
    """

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return [{"type": "text", "text": value}]
        blocks: list[Any] = value if isinstance(value, list) else []
        for index, block in enumerate(blocks):
            kind = block.get("type") if isinstance(block, dict) else block
            if kind not in kinds:
                raise ValueError(
                    f"only blocks of type {', '.join(kinds)} are supported by this server,"
                    f" block {index} is {kind!r}"
                )
        return value

    return BeforeValidator(read, json_schema_input_type=str | list[dict[str, Any]])


class CacheControl(BaseModel):
    """Where to cache; without effect, since every prefix is cached while there is room."""

    model_config = STRICT

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(BaseModel):
    """Words."""

    model_config = STRICT

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: Annotated[list[Any], Field(max_length=0)] | None = None
    """Only empty, as answers have it."""


Texts = Annotated[list[TextBlock], _named("text")]
"""A string or blocks of text."""


class ThinkingBlock(BaseModel):
    """What the assistant thought, for chat templates that want to see it again."""

    model_config = STRICT

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None
    """Empty in answers of this server, and not looked at."""


class ToolUseBlock(BaseModel):
    """An earlier call of the assistant's."""

    model_config = STRICT

    type: Literal["tool_use"]
    id: str
    name: FunctionName
    input: dict[str, Any]
    cache_control: CacheControl | None = None


class ToolResultBlock(BaseModel):
    """What a tool answered."""

    model_config = STRICT

    type: Literal["tool_result"]
    tool_use_id: str
    content: Texts | None = None
    is_error: bool | None = None
    """True: the model reads `Error: ` before the content."""
    cache_control: CacheControl | None = None


Block = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock


def _tag(block: Any) -> str:
    """Tell the union's branch; the brackets keep it out of the paths of error messages."""
    kind = block["type"] if isinstance(block, dict) else block.type
    return f"<{kind}>"


Blocks = Annotated[
    list[
        Annotated[
            Annotated[TextBlock, Tag("<text>")]
            | Annotated[ThinkingBlock, Tag("<thinking>")]
            | Annotated[ToolUseBlock, Tag("<tool_use>")]
            | Annotated[ToolResultBlock, Tag("<tool_result>")],
            Discriminator(_tag),
        ]
    ],
    Field(min_length=1),
    _named("text", "thinking", "tool_use", "tool_result"),
]
"""A string or blocks of any kind."""
