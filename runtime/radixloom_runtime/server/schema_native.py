"""The body of `POST /generate`, by the names that SGL-JAX and its benchmark use."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from radixloom_runtime.server.schema import (
    MAX_CHOICES,
    MAX_STOPS,
    MAX_TIMEOUT_SECONDS,
    MAX_TOP_LOGPROBS,
    StopString,
    TokenId,
    as_list,
    int_keys,
)
from radixloom_runtime.server.schema_guided import Pattern, Schema, StructuralTag, parsed

DEFAULT_MAX_NEW_TOKENS = 128

_ANY_OBJECT = "$$ANY$$"
"""What SGLang's clients send for a schema that they do not have."""


def any_object(value: Any) -> Any:
    """Take the word that stands for any object."""
    return {"type": "object"} if value == _ANY_OBJECT else value


_STRICT = ConfigDict(
    extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
)


class NativeSampling(BaseModel):
    """How answers are drawn; what each means is told of `POST /v1/completions`."""

    model_config = _STRICT

    max_new_tokens: int | None = Field(None, ge=0)
    """Most tokens of an answer. Default 128. 0 only with logprobs of the prompt."""
    min_new_tokens: int | None = Field(None, ge=0)
    """The answer does not end before."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is greedy."""
    top_p: float | None = Field(None, ge=0, le=1)
    """Draw from the likeliest tokens that together have this probability."""
    top_k: int | None = Field(None, ge=-1)
    """Draw from as many of the likeliest tokens; 0 and -1 keep all."""
    min_p: float | None = Field(None, ge=0, le=1)
    """Draw from tokens that are at least this fraction as likely as the likeliest one."""
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    """Answers to each prompt."""
    sampling_seed: int | None = None
    """Same seed, same tokens, whatever else runs."""
    stop: Annotated[
        Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None, BeforeValidator(as_list)
    ] = None
    """Cut out of the text."""
    stop_token_ids: list[TokenId] | None = None
    """End the answer as the end-of-sequence token does."""
    ignore_eos: bool | None = None
    """Go on after the end-of-sequence token."""
    skip_special_tokens: bool | None = None
    """Default true: special tokens add no text."""
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    """Subtracted once from the logit of each token that the answer has already."""
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    """Subtracted for each time that the answer has the token already."""
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    """Divides positive logits, and multiplies negative ones, of tokens in prompt and answer."""
    logit_bias: Annotated[
        dict[int, Annotated[float, Field(ge=-100, le=100)]] | None, BeforeValidator(int_keys)
    ] = None
    """Added to the logits of tokens, by id."""
    json_schema: Annotated[Schema | None, BeforeValidator(any_object)] = None
    """The answer is JSON by this schema, which comes as text; `$$ANY$$` is any object."""
    regex: Pattern | None = None
    """The answer is matched by this regular expression from end to end."""
    ebnf: Pattern | None = None
    """The answer is of this grammar."""
    structural_tag: Annotated[StructuralTag | None, BeforeValidator(parsed)] = None
    """The answer is text with structures, told as text of JSON."""

    @model_validator(mode="after")
    def _one_form(self) -> "NativeSampling":
        forms = ("json_schema", "regex", "ebnf", "structural_tag")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} exclude each other; give one")
        return self


class GenerateRequest(BaseModel):
    """Parameters of `/generate`."""

    model_config = _STRICT

    text: str | Annotated[list[str], Field(min_length=1)] | None = None
    """The prompt, or a list of prompts; this or `input_ids`."""
    input_ids: Annotated[list[TokenId] | list[list[TokenId]], Field(min_length=1)] | None = None
    """The prompt's tokens, or a list of prompts."""
    sampling_params: NativeSampling = Field(
        default_factory=lambda: NativeSampling.model_validate({})
    )
    """How answers are drawn."""
    return_logprob: bool | None = None
    """Tell the logprob of each token in `meta_info`, as `[logprob, token id, text or null]`."""
    logprob_start_len: int | None = Field(None, ge=-1)
    """Tell those of the prompt too, from this token on. Default -1: not."""
    top_logprobs_num: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    """Tell as many of the likeliest tokens in each place."""
    return_text_in_logprobs: bool | None = None
    """Whether logprobs have the token's text."""
    stream: bool | None = None
    """Tell the answer in server-sent events; each has all of the text so far."""
    rid: str | None = Field(None, min_length=1, max_length=128)
    """The id in `meta_info`."""
    lora_path: str | None = None
    """Name of a loaded adapter, as `model` of a completion. Default, or empty: none."""
    priority: int | None = Field(None, ge=-(2**31), lt=2**31)
    """Lower runs first."""
    user: str | None = Field(None, max_length=256)
    """At equal priority users take turns. Default: one user per API key."""
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT_SECONDS)
    """Seconds that the answer may take in all."""

    @property
    def is_batch(self) -> bool:
        """Whether the answer is a list, since several prompts or answers were asked for."""
        ids = self.input_ids
        has_lists = isinstance(self.text, list) or bool(ids and isinstance(ids[0], list))
        return has_lists or (self.sampling_params.n or 1) > 1

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether logprobs of the prompt are told."""
        start = self.logprob_start_len
        return bool(self.return_logprob) and start is not None and start >= 0

    @model_validator(mode="after")
    def _one_prompt(self) -> "GenerateRequest":
        if (self.text is None) == (self.input_ids is None):
            raise ValueError("give one of text and input_ids")
        return self

    @model_validator(mode="after")
    def _nothing_asked_for(self) -> "GenerateRequest":
        if self.sampling_params.max_new_tokens == 0 and not self.wants_prompt_logprobs:
            raise ValueError(
                "sampling_params.max_new_tokens 0 is only allowed with return_logprob and"
                " logprob_start_len"
            )
        return self

    @model_validator(mode="after")
    def _logprobs_are_asked_for(self) -> "GenerateRequest":
        if self.top_logprobs_num and not self.return_logprob:
            raise ValueError("top_logprobs_num is only allowed with return_logprob")
        return self
