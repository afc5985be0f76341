"""A checked request as what the engine needs, the same for both endpoints.

    ChatRequest ─┐
                 ├─► Order ─► Submit per choice
    CompletionRequest

Here the checks that need the model: token ids inside the vocabulary, prompts inside the context.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from radixloom_runtime.errors import ContextLengthError, RequestError
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.guided import Grammar
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.problems import ModelNotFoundError
from radixloom_runtime.server.schema import TextRequest
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.wire.messages import Ready, Sampling, Submit


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the model sees it, and what it may generate."""

    ids: list[int]
    max_tokens: int
    text: str | None = None
    """As the client wrote it, for `echo`; None where it came as ids."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything about an answer but its form."""

    prompts: Sequence[Prompt]
    sampling: Sampling
    num_samples: int
    seed: int | None
    stops: Sequence[str]
    stop_token_ids: Sequence[int]
    min_tokens: int
    skip_special_tokens: bool
    priority: int
    user: str = ""
    """Whose turn it takes."""
    timeout_seconds: float | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    grammar: Grammar | None = None
    """What answers must be."""
    reading: Reading = field(default_factory=Reading)
    """How answers are taken apart; of completions: not at all."""
    adapter: str = ""
    """What changes the model; empty: nothing."""

    def naming(self, names: Mapping[str, str]) -> "Order":
        """Name what says how answers must be as another API does."""
        if self.grammar is None:
            return self
        param = names.get(self.grammar.param, self.grammar.param)
        return dataclasses.replace(self, grammar=dataclasses.replace(self.grammar, param=param))

    def submit(
        self, prompt: Prompt, *, request_id: str, seed: int, deadline: float | None
    ) -> Submit:
        """Return the engine's request for one choice."""
        return Submit(
            request_id=request_id,
            prompt_ids=prompt.ids,
            max_tokens=prompt.max_tokens,
            sampling=msgspec.structs.replace(self.sampling, seed=seed),
            stop_token_ids=list(self.stop_token_ids),
            min_tokens=self.min_tokens,
            logprobs=self.logprobs,
            prompt_logprobs=self.prompt_logprobs,
            priority=self.priority,
            user=self.user,
            deadline=deadline,
            adapter=self.adapter,
            grammar="" if self.grammar is None else self.grammar.text,
        )


def make(
    request: TextRequest,
    serving: Serving,
    prompts: Sequence[Prompt],
    *,
    logprobs: int | None,
    prompt_logprobs: int | None = None,
) -> Order:
    """Make the order of a request. Raises: `RequestError` on ids outside the vocabulary."""
    check_head(serving)
    check_ids(request.stop_token_ids or (), serving.limits, param="stop_token_ids")
    check_ids(request.logit_bias or (), serving.limits, param="logit_bias")
    _check_min_tokens(request.min_tokens or 0, prompts)
    return Order(
        prompts=prompts,
        sampling=_sampling(request, serving.model),
        num_samples=request.n or 1,
        seed=request.seed,
        stops=request.stop or (),
        stop_token_ids=_stop_token_ids(request, serving.model),
        min_tokens=request.min_tokens or 0,
        skip_special_tokens=request.skip_special_tokens is not False,
        priority=request.priority or 0,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        adapter=check_model(request.model, serving.model),
    )


def check_head(serving: Serving) -> None:
    """Raise `RequestError` for a checkpoint without output layer."""
    if not serving.limits.has_head:
        raise RequestError(
            f"the checkpoint of {serving.model.name!r} has no output layer, so it scores no tokens;"
            " /v1/embeddings, /v1/score and /v1/rerank are what it is for",
            code="unsupported_model",
        )


def check_model(wanted: str, model: ServedModel) -> str:
    """Return the adapter that `wanted` names; empty: the model itself.

    Raises: `ModelNotFoundError` unless it is served here.
    """
    adapter = model.adapter_of(wanted)
    if adapter is None:
        served = ", ".join(map(repr, (model.name, *model.adapters)))
        served += " are" if model.adapters else " is"
        raise ModelNotFoundError(
            f"the model {wanted!r} is not served here; {served}",
            param="model",
            code="model_not_found",
        )
    return adapter


def fit(
    ids: list[int],
    limits: Ready,
    *,
    max_tokens: int | None,
    default_max_tokens: int | None,
    text: str | None = None,
    param: str,
) -> Prompt:
    """Make a prompt that fits the context; without `max_tokens`, the default or what is left.

    Raises: `RequestError` for an empty prompt or an id outside the vocabulary,
    `ContextLengthError` with both numbers for one that does not fit.
    """
    if not ids:
        raise RequestError(f"{param} is empty: the model needs a token to go on from", param=param)
    check_ids(ids, limits, param=param)
    wanted = 1 if max_tokens is None else max_tokens
    if len(ids) + wanted > limits.max_model_len:
        raise ContextLengthError(
            f"the context length is {limits.max_model_len} tokens, but {len(ids) + wanted} were"
            f" requested ({len(ids)} in the prompt, {wanted} to generate); shorten the prompt or"
            " ask for fewer",
            param=param,
            code="context_length_exceeded",
        )
    rest = limits.max_model_len - len(ids)
    if max_tokens is None:
        max_tokens = rest if default_max_tokens is None else min(default_max_tokens, rest)
    return Prompt(ids, max_tokens, text)


def check_ids(ids: Iterable[int], limits: Ready, *, param: str) -> None:
    """Raise `RequestError` for a token id outside the vocabulary."""
    outside = max(ids, default=0)
    if outside >= limits.vocab_size:
        raise RequestError(
            f"{param}: token id {outside} is not below the vocabulary's size {limits.vocab_size}",
            param=param,
            code="invalid_value",
        )


def _check_min_tokens(min_tokens: int, prompts: Sequence[Prompt]) -> None:
    fewest = min(prompt.max_tokens for prompt in prompts)
    if min_tokens > fewest:
        raise RequestError(
            f"min_tokens {min_tokens} is more than the {fewest} tokens that may be generated",
            param="min_tokens",
            code="invalid_value",
        )


def _sampling(request: TextRequest, model: ServedModel) -> Sampling:
    given = {
        name: value
        for name in dataclasses.asdict(model.defaults)
        if (value := getattr(request, name)) is not None
    }
    chosen = dataclasses.replace(model.defaults, **given)
    return Sampling(
        # An empty nucleus keeps the most likely token alone, which is greedy.
        temperature=chosen.temperature if chosen.top_p > 0 else 0.0,
        top_p=chosen.top_p if chosen.top_p > 0 else 1.0,
        top_k=max(0, chosen.top_k),
        min_p=chosen.min_p,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=chosen.repetition_penalty,
        logit_bias=request.logit_bias or {},
    )


def _stop_token_ids(request: TextRequest, model: ServedModel) -> list[int]:
    end_ids = () if request.ignore_eos else model.tokenizer.eos_ids
    return sorted({*end_ids, *(request.stop_token_ids or ())})
