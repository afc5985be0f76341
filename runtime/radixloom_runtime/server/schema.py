"""What both text endpoints take: sampling, stopping, logprobs.

Strict: JSON's own types, no coercion; a field that is not declared is refused by name. `null`
means the default, as with OpenAI. Where a parameter is not OpenAI's, the name is the one that other
servers use for it.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_STOPS = 16
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
MAX_TIMEOUT_SECONDS = 86_400.0

TokenId = Annotated[int, Field(ge=0)]
StopString = Annotated[str, Field(min_length=1)]


def as_list(value: Any) -> Any:
    """Take one string for a list of one."""
    return [value] if isinstance(value, str) else value


def int_keys(value: Any) -> Any:
    """Read token ids that are the keys of a JSON object, hence strings."""
    if not isinstance(value, dict):
        return value
    bad = [key for key in value if not (isinstance(key, str) and key.isascii() and key.isdigit())]
    if bad:
        raise ValueError(f"the keys must be token ids, found {bad[0]!r}")
    return {int(key): bias for key, bias in value.items()}


class StreamOptions(BaseModel):
    """How a stream is told."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    include_usage: bool | None = None
    """A last chunk without choices carries `usage`."""


class TextRequest(BaseModel):
    """Parameters of both endpoints."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    model: str
    """The name that the server was given (`GET /v1/models`)."""
    max_tokens: int | None = Field(None, ge=0)
    """Most tokens of an answer."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is greedy. Default: the checkpoint's, else 1."""
    top_p: float | None = Field(None, ge=0, le=1)
    """Draw from the likeliest tokens that together have this probability. Default: the
    checkpoint's, else 1."""
    top_k: int | None = Field(None, ge=-1)
    """Draw from as many of the likeliest tokens; 0 and -1 keep all. Default: the checkpoint's,
    else all."""
    min_p: float | None = Field(None, ge=0, le=1)
    """Draw from tokens that are at least this fraction as likely as the likeliest one."""
    seed: int | None = None
    """Choice i of a prompt is drawn with seed + i, modulo 2^32."""
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    """Answers to each prompt. Default 1."""
    stop: Annotated[
        Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None, BeforeValidator(as_list)
    ] = None
    """Cut out of the text. Complete ones count from `min_tokens` tokens on."""
    stop_token_ids: list[TokenId] | None = None
    """End the answer as the end-of-sequence token does."""
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    """Subtracted once from the logit of each token that the answer has already."""
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    """Subtracted for each time that the answer has the token already."""
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    """Divides positive logits, and multiplies negative ones, of tokens in prompt and answer.
    Default: the checkpoint's, else 1."""
    logit_bias: Annotated[
        dict[int, Annotated[float, Field(ge=-100, le=100)]] | None, BeforeValidator(int_keys)
    ] = None
    """Added to the logits of tokens, by id."""
    ignore_eos: bool | None = None
    """Go on after the end-of-sequence token; `stop` and `stop_token_ids` still count."""
    min_tokens: int | None = Field(None, ge=0)
    """The answer does not end before."""
    skip_special_tokens: bool | None = None
    """Default true: special tokens add no text."""
    priority: int | None = Field(None, ge=-(2**31), lt=2**31)
    """Lower runs first, and displaces higher; each step is worth 64 turns of waiting."""
    user: str | None = Field(None, max_length=256)
    """At equal priority users take turns. Default: one user per API key."""
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT_SECONDS)
    """Seconds that the answer may take in all; then 408, or an error event in a stream.
    Default: the server's --request-timeout."""
    stream: bool | None = None
    """Tell the answer in server-sent events as it comes."""
    stream_options: StreamOptions | None = None
    """Only in a stream."""
    return_token_ids: bool | None = None
    """Add `prompt_token_ids` and `token_ids` to each choice."""

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> "TextRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self
