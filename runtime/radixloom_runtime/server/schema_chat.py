"""The body of `POST /v1/chat/completions`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from radixloom_runtime.server.schema import MAX_TOP_LOGPROBS, TextRequest


class TextPart(BaseModel):
    """A part of a message's content; others than text are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of the conversation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    """`developer` is the newer name of `system` and handed to templates as that."""
    content: str | list[TextPart] | None = None
    name: str | None = None
    """Given to the chat template, which may use it."""

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

    def for_template(self) -> dict[str, str]:
        """Return the message as chat templates read it: parts joined, no empty fields."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts or ())
        message = {"role": "system" if self.role == "developer" else self.role, "content": text}
        return message if self.name is None else message | {"name": self.name}


class ChatRequest(TextRequest):
    """Parameters of a chat completion."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    """The newer name of `max_tokens`. Default: the rest of the context."""
    max_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)

    @model_validator(mode="after")
    def _fields_agree(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed when logprobs is true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValueError(
                "max_tokens and max_completion_tokens mean the same here and must not differ;"
                " give max_completion_tokens alone"
            )
        return self
