"""The body of `POST /v1/responses`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from radixloom_runtime.server.responses.items import STRICT, Items
from radixloom_runtime.server.schema_guided import JsonObjectFormat, NamedSchema, TextFormat
from radixloom_runtime.server.schema_tools import MAX_TOOLS, FunctionName, NamedTool

_NULL: tuple[Any, ...] = (None,)

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "access_programs": _NULL,
    "background": (None, False),
    "background_options": _NULL,
    "context_management": (None, []),
    "conversation": _NULL,
    "image": _NULL,
    "include": (None, []),
    "max_tool_calls": _NULL,
    "moderation": _NULL,
    "prompt": _NULL,
    "prompt_cache_options": _NULL,
    "prompt_cache_retention": _NULL,
    "service_tier": (None, "auto", "default"),
    "top_logprobs": (None, 0),
    "truncation": (None, "disabled"),
}
"""Parameters that OpenAI defines and this server does not carry out → values that ask for
nothing."""

WITHOUT_EFFECT = frozenset({"safety_identifier", "prompt_cache_key"})
"""Abuse tracking, and a routing hint: they never change an answer."""


class FunctionTool(BaseModel):
    """A function that the model may call."""

    model_config = STRICT

    type: Literal["function"]
    """Tools that OpenAI's servers run are refused."""
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON schema of an object. Default: no parameters."""
    strict: bool | None = None
    """As in `POST /v1/chat/completions`; default false."""


Choice = Literal["none", "auto", "required"] | NamedTool


def _choice(value: Any) -> Choice | None:
    """Tell the forms apart by hand: a union would report an error for each of its branches."""
    match value:
        case None | "none" | "auto" | "required":
            return value
        case {"type": "function", "name": str(name)}:
            return NamedTool(name)
        case _:
            pass
    raise ValueError(
        'must be \'none\', \'auto\', \'required\', or {"type": "function", "name": "..."}'
    )


_CHOICE_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": ["none", "auto", "required"]},
        {
            "type": "object",
            "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
            "required": ["type", "name"],
        },
        {"type": "null"},
    ]
}


class Reasoning(BaseModel):
    """How hard to think."""

    model_config = STRICT

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """As `reasoning_effort` in `POST /v1/chat/completions`."""
    summary: None = None
    """Reasoning is told as it is."""


class SchemaFormat(NamedSchema):
    """JSON by a schema; it lies flat here, where a chat completion has it in a part of its own."""

    type: Literal["json_schema"]


Format = Annotated[TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")]


class TextConfig(BaseModel):
    """The form of the answer's text."""

    model_config = STRICT

    format: Format | None = None
    """`json_schema` or `json_object`: the answer is that and nothing else."""
    verbosity: None = None


class ResponsesStreamOptions(BaseModel):
    """How a stream is told."""

    model_config = STRICT

    include_obfuscation: Literal[False] | None = None


class ResponseRequest(BaseModel):
    """Parameters of a response."""

    model_config = STRICT

    model: str
    """The name that the server was given (`GET /v1/models`)."""
    input: Items
    """What the user says, or items: messages, reasoning, calls of functions and their outputs."""
    instructions: str | None = None
    """What the model is told first. Not taken over from the previous response."""
    previous_response_id: str | None = None
    """A stored response, whose conversation goes on."""
    store: bool | None = None
    """Default true: the response can be asked for, and gone on from, while there is room in this
    server's memory."""
    max_output_tokens: int | None = Field(None, ge=1)
    """Most tokens of the answer, reasoning included. Default: the rest of the context."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is greedy. Default: the checkpoint's, else 1."""
    top_p: float | None = Field(None, ge=0, le=1)
    """Draw from the likeliest tokens that together have this probability."""
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    """Functions that the model may call."""
    tool_choice: Annotated[
        Choice | None, PlainValidator(_choice), WithJsonSchema(_CHOICE_SCHEMA)
    ] = None
    """`auto` is the default with tools. `none`: the model is not told of them."""
    parallel_tool_calls: bool | None = None
    """False: only the answer's first call is told."""
    reasoning: Reasoning | None = None
    """How hard to think."""
    text: TextConfig | None = None
    """The form of the answer's text."""
    metadata: dict[str, str] | None = Field(None, max_length=16)
    """Told again with the response."""
    user: str | None = Field(None, max_length=256)
    """At equal priority users take turns. Default: one user per API key."""
    stream: bool | None = None
    """Tell the answer in server-sent events as it comes."""
    stream_options: ResponsesStreamOptions | None = None
    """Only in a stream."""

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> "ResponseRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self
