"""The body of `POST /v1/completions`."""

from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from radixloom_runtime.server.schema import MAX_CHOICES, MAX_TOP_LOGPROBS, TextRequest
from radixloom_runtime.server.schema_guided import Guided

DEFAULT_MAX_TOKENS = 16
"""OpenAI's for this endpoint."""

OnePrompt = str | list[int]

_FORMS = "a string, a list of strings, a list of token ids, or a list of lists of token ids"


def _prompts(value: object) -> list[OnePrompt]:
    """Tell the four forms apart. By hand: a union of lists reports an error per form and item."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be {_FORMS}, and not empty")
    if _is_ids(value):
        return [value]
    for index, item in enumerate(value):
        if not (isinstance(item, str) and isinstance(value[0], str)) and not _is_ids(item):
            raise ValueError(f"must be {_FORMS}; item {index} does not fit")
    return value


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


Prompts = Annotated[
    list[OnePrompt],
    PlainValidator(_prompts),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            ]
        }
    ),
]
"""A text, token ids, or a list of either."""


class CompletionRequest(Guided, TextRequest):
    """Parameters of a text completion."""

    prompt: Prompts
    """A text, token ids, or a list of either."""
    max_tokens: int | None = Field(None, ge=0)
    """Most tokens of an answer. Default 16. 0 only with `echo`."""
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    """Tell the logprob of each token, and as many of the likeliest in its place."""
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    """Generate as many and answer with the `n` whose tokens are the likeliest on average. Usage
    counts all. Not in a stream."""
    echo: bool | None = None
    """Begin the text with the prompt; with `logprobs`, tell those of the prompt too."""

    @model_validator(mode="after")
    def _best_of_is_a_choice(self) -> "CompletionRequest":
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise ValueError(f"best_of {self.best_of} must not be less than n {self.n or 1}")
        if self.stream and self.best_of is not None and self.best_of > (self.n or 1):
            raise ValueError("best_of is only allowed when stream is false")
        return self

    @property
    def num_generated(self) -> int:
        """How many answers are generated for each prompt."""
        return self.best_of or self.n or 1

    @model_validator(mode="after")
    def _nothing_asked_for(self) -> "CompletionRequest":
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens 0 is only allowed when echo is true")
        return self
