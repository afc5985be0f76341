"""The body of `POST /v1/chat/completions`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from radixloom_runtime.server.schema import MAX_TOP_LOGPROBS, TextRequest
from radixloom_runtime.server.schema_guided import Guided
from radixloom_runtime.server.schema_tools import MAX_TOOLS, NamedTool, Tool, ToolCall, ToolChoice


class TextPart(BaseModel):
    """A part of a message's content; others than text are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of the conversation."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """`developer` is the newer name of `system` and handed to templates as that."""
    content: str | list[TextPart] | None = None
    name: str | None = None
    """Given to the chat template, which may use it."""
    tool_calls: list[ToolCall] | None = None
    """Of an assistant."""
    tool_call_id: str | None = None
    """Of a tool: the call that it answers."""
    reasoning_content: str | None = None
    """Of an assistant: what it thought, for templates that want to see it again."""

    @field_validator("content", mode="before")
    @classmethod
    def _content_is_text(cls, value: object) -> object:
        """Name the part that is no text: a union's own message would list every form."""
        if not isinstance(value, list):
            return value
        for index, part in enumerate(value):
            kind = part.get("type") if isinstance(part, dict) else part
            if kind != "text":
                raise ValueError(
                    f"only parts of type 'text' are supported, part {index} is {kind!r}"
                )
        return value

    @model_validator(mode="after")
    def _only_assistants_may_be_silent(self) -> "Message":
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} needs content")
        return self

    @model_validator(mode="after")
    def _fields_belong_to_the_role(self) -> "Message":
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role 'tool' needs tool_call_id")
        owners = {
            "tool_call_id": "tool",
            "tool_calls": "assistant",
            "reasoning_content": "assistant",
        }
        for name, role in owners.items():
            if getattr(self, name) and self.role != role:
                raise ValueError(f"{name} is for role {role!r}, found role {self.role!r}")
        return self

    @property
    def text(self) -> str:
        """The content, parts joined."""
        parts = self.content
        return parts if isinstance(parts, str) else "".join(part.text for part in parts or ())

    def for_template(self) -> dict[str, Any]:
        """Return the message as chat templates read it: parts joined, no empty fields."""
        message: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self.text,
            "name": self.name,
            "tool_calls": [call.for_template() for call in self.tool_calls or ()] or None,
            "tool_call_id": self.tool_call_id,
            "reasoning_content": self.reasoning_content,
            # gpt-oss's name of it, whose template refuses it beside words before a call
            "thinking": None if self.text and self.tool_calls else self.reasoning_content,
        }
        return {name: value for name, value in message.items() if value is not None}


class ChatRequest(Guided, TextRequest):
    """Parameters of a chat completion."""

    messages: Annotated[list[Message], Field(min_length=1)]
    """The conversation. Parts of content are text."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """The newer name of `max_tokens`. Default: the rest of the context."""
    max_tokens: int | None = Field(None, ge=1)
    """The older name of `max_completion_tokens`."""
    logprobs: bool | None = None
    """Tell the logprob of each token of the answer: the model's own, before temperature."""
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    """Tell as many of the likeliest tokens in each place. Only with `logprobs`."""
    prompt_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    """Tell the logprob of each prompt token, and of as many alternatives."""
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    """Functions that the model may call, for models whose chat template has a place for them."""
    tool_choice: ToolChoice = None
    """`auto` is the default with tools. `none`: the model is not told of them. `required`: the
    answer is nothing but calls. A named function: the answer is one call of it."""
    parallel_tool_calls: bool | None = None
    """False: only the answer's first call is told."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """Given to the chat template; `none` is `enable_thinking` false where the template has that."""
    enable_thinking: bool | None = None
    """Whether the model thinks first, for templates that ask."""
    separate_reasoning: bool | None = None
    """Default true: reasoning is `reasoning_content`. False: it stays in `content`."""
    chat_template: str | None = None
    """Instead of the checkpoint's; only where the server allows it (--request-chat-template)."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Further variables of the chat template; those that it does not read are refused."""
    add_generation_prompt: bool | None = None
    """Default true: the prompt ends with what begins the assistant's turn."""
    continue_final_message: bool | None = None
    """The prompt ends with the last message, which the answer continues."""

    @property
    def wants_one_call(self) -> bool:
        """Whether an answer ends with its first call.

        A function that is named is called once, as OpenAI's models do: a weak model that may go on
        calls it again and again, up to `max_tokens`.
        """
        return self.parallel_tool_calls is False or isinstance(self.tool_choice, NamedTool)

    @model_validator(mode="after")
    def _tools_agree(self) -> "ChatRequest":
        names = [tool.function.name for tool in self.tools or ()]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"tools: several functions are named {min(repeated)!r}")
        if not names and self.tool_choice not in (None, "none"):
            raise ValueError("tool_choice is only allowed when tools are given")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.name not in names:
            raise ValueError(
                f"tool_choice names {self.tool_choice.name!r}, which is none of the tools"
            )
        return self

    @model_validator(mode="after")
    def _the_prompt_has_one_end(self) -> "ChatRequest":
        if self.continue_final_message:
            if self.add_generation_prompt:
                raise ValueError(
                    "continue_final_message and add_generation_prompt exclude each other"
                )
            if not self.messages[-1].text:
                raise ValueError("continue_final_message needs a last message with content")
        return self

    @model_validator(mode="after")
    def _fields_agree(self) -> "ChatRequest":
        if self.prompt_logprobs is not None and self.stream:
            raise ValueError("prompt_logprobs is only allowed when stream is false")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed when logprobs is true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValueError(
                "max_tokens and max_completion_tokens mean the same here and must not differ;"
                " give max_completion_tokens alone"
            )
        return self
