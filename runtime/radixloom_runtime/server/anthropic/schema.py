"""The bodies of `POST /v1/messages` and `/v1/messages/count_tokens`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from radixloom_runtime.server.anthropic.blocks import STRICT, Blocks, CacheControl, TextBlock, Texts
from radixloom_runtime.server.schema import MAX_STOPS, StopString
from radixloom_runtime.server.schema_guided import Schema
from radixloom_runtime.server.schema_tools import MAX_TOOLS, FunctionName

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "container": (None,),
    "context_management": (None,),
    "diagnostics": (None,),
    "inference_geo": (None,),
    "mcp_servers": (None, []),
    "service_tier": (None, "auto", "standard_only"),
    "speed": (None, "standard"),
    "user_profile_id": (None,),
}
"""Parameters that Anthropic defines and this server does not carry out → values that ask for
nothing."""

_OWNERS = {"thinking": "assistant", "tool_use": "assistant", "tool_result": "user"}


class AnthropicMessage(BaseModel):
    """One turn of the conversation."""

    model_config = STRICT

    role: Literal["user", "assistant"]
    content: Blocks
    """A string, or blocks: `text`; of an assistant `thinking` and `tool_use`; of a user
    `tool_result`."""

    @property
    def text(self) -> str:
        """The blocks of text, joined."""
        return "".join(block.text for block in self.content if isinstance(block, TextBlock))

    @model_validator(mode="after")
    def _blocks_belong_to_the_role(self) -> "AnthropicMessage":
        for block in self.content:
            owner = _OWNERS.get(block.type, self.role)
            if owner != self.role:
                raise ValueError(
                    f"a block of type {block.type} is for role {owner!r}, found role {self.role!r}"
                )
        return self


class AnthropicTool(BaseModel):
    """A function that the model may call."""

    model_config = STRICT

    type: Literal["custom"] | None = None
    """Tools that Anthropic's servers run are refused."""
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]
    """JSON schema of an object."""
    strict: bool | None = None
    """As in `POST /v1/chat/completions`."""
    cache_control: CacheControl | None = None


class ToolChoice(BaseModel):
    """Whether the model may, or must, call."""

    model_config = STRICT

    type: Literal["auto", "any", "tool", "none"]
    """`any` is `required` of chat completions, `tool` one function."""
    name: str | None = None
    """With `tool`."""
    disable_parallel_tool_use: bool | None = None
    """True: only the answer's first call is told."""

    @model_validator(mode="after")
    def _a_tool_is_named(self) -> "ToolChoice":
        if (self.name is not None) != (self.type == "tool"):
            raise ValueError("name goes with the type 'tool', and only with it")
        return self


class Thinking(BaseModel):
    """Whether the model thinks first."""

    model_config = STRICT

    type: Literal["enabled", "disabled", "adaptive"]
    """`adaptive` leaves it to the model."""
    budget_tokens: int | None = None
    """Refused: nothing holds the model to a budget."""
    display: Literal["summarized"] | None = None
    """Thinking is told as it is."""

    @field_validator("budget_tokens")
    @classmethod
    def _there_is_no_budget(cls, value: int | None) -> None:
        if value is not None:
            raise ValueError(
                "not supported by this server: nothing holds the model to a budget; leave it out"
                " (max_tokens counts thinking too)"
            )


class OutputFormat(BaseModel):
    """JSON by a schema."""

    model_config = STRICT

    type: Literal["json_schema"]
    schema_: Annotated[Schema, Field(alias="schema")]


class OutputConfig(BaseModel):
    """How hard to try, and what the answer must be."""

    model_config = STRICT

    effort: Literal["low", "medium", "high", "xhigh"] | None = None
    """Given to the chat template, which has to read `reasoning_effort`."""
    format: OutputFormat | None = None
    """`json_schema`: the answer is JSON by `schema` and nothing else."""


class Metadata(BaseModel):
    """Who asks."""

    model_config = STRICT

    user_id: str | None = Field(None, max_length=256)
    """At equal priority users take turns, as with `user` of chat completions."""


class CountTokensRequest(BaseModel):
    """Parameters of both: what the model reads."""

    model_config = STRICT

    model: str
    """The name that the server was given (`GET /v1/models`)."""
    messages: Annotated[list[AnthropicMessage], Field(min_length=1)]
    """The conversation. An assistant's turn at its end is continued by the answer."""
    system: Texts | None = None
    """What the model is told first: a string, or blocks of text."""
    tools: Annotated[list[AnthropicTool], Field(max_length=MAX_TOOLS)] | None = None
    """Functions that the model may call."""
    tool_choice: ToolChoice | None = None
    """`auto` is the default with tools. `none`: the model is not told of them."""
    thinking: Thinking | None = None
    """Default: as the model's chat template has it."""
    output_config: OutputConfig | None = None
    """`effort`: how hard to try; `format`: what the answer must be."""
    cache_control: CacheControl | None = None
    """Without effect: every prefix is cached while there is room."""

    @model_validator(mode="after")
    def _the_end_can_be_continued(self) -> "CountTokensRequest":
        last = self.messages[-1]
        if last.role == "assistant" and not (last.content[-1].type == "text" and last.text):
            raise ValueError(
                "messages: an assistant's turn at the end is continued by the answer, so it must"
                " end with text; calls must be followed by their results"
            )
        return self


class MessagesRequest(CountTokensRequest):
    """Parameters of a message."""

    max_tokens: int = Field(ge=1)
    """Most tokens of the answer, thinking included."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is greedy. Default: the checkpoint's, else 1."""
    top_p: float | None = Field(None, ge=0, le=1)
    """Draw from the likeliest tokens that together have this probability."""
    top_k: int | None = Field(None, ge=0)
    """Draw from as many of the likeliest tokens; 0 keeps all."""
    stop_sequences: Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    """Cut out of the text; the answer says which one ended it."""
    stream: bool | None = None
    """Tell the answer in server-sent events as it comes."""
    metadata: Metadata | None = None
    """Who asks."""
