"""`POST /v1/completions`: prompts to an order, deltas to completion chunks, `echo`."""

import dataclasses
import secrets
import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from radixloom_runtime.server import guided, logprobs, order
from radixloom_runtime.server.form import Form
from radixloom_runtime.server.generation import Choice, ChoiceDelta
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order, Prompt
from radixloom_runtime.server.replies import (
    CompletionChoice,
    CompletionLogprobs,
    CompletionReply,
    Usage,
)
from radixloom_runtime.server.schema_completions import (
    DEFAULT_MAX_TOKENS,
    CompletionRequest,
    OnePrompt,
)
from radixloom_runtime.text.detokenizer import Detokenizer
from radixloom_runtime.text.token_bytes import TokenBytes
from radixloom_runtime.text.tokenizer import Tokenizer


def make_order(request: CompletionRequest, serving: Serving) -> Order:
    """Tokenize the prompts and check them. Raises: `RequestError`."""
    order.check_model(request.model, serving.model)
    prompts = [_prompt(prompt, request, serving) for prompt in request.prompt]
    prompt_logprobs = request.logprobs if request.echo else None
    if request.max_tokens == 0 and prompt_logprobs is None:
        prompt_logprobs = 0  # the engine runs a prompt without output only for its logprobs
    logprobs = request.logprobs
    if request.num_generated > (request.n or 1) and logprobs is None:
        logprobs = 0  # what the best are chosen by
    made = order.make(request, serving, prompts, logprobs=logprobs, prompt_logprobs=prompt_logprobs)
    return dataclasses.replace(
        made,
        num_samples=request.num_generated,
        grammar=guided.plain(request, serving.model.tokenizer),
    )


def _prompt(prompt: OnePrompt, request: CompletionRequest, serving: Serving) -> Prompt:
    text = prompt if isinstance(prompt, str) else None
    tokenizer = serving.model.tokenizer
    return order.fit(
        tokenizer.encode(prompt, add_special_tokens=True) if isinstance(prompt, str) else prompt,
        serving.limits,
        max_tokens=request.max_tokens,
        default_max_tokens=DEFAULT_MAX_TOKENS,
        text=text,
        param="prompt",
    )


class CompletionForm(Form):
    """Text completions, whole and in chunks."""

    def __init__(
        self, request: CompletionRequest, tokenizer: Tokenizer, tokens: TokenBytes
    ) -> None:
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())  # noqa: TID251 - a date in the answer
        self._model = request.model
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._echo = bool(request.echo)
        self._skip_special_tokens = request.skip_special_tokens is not False
        self._with_logprobs = request.logprobs is not None
        self._num_choices = (request.n or 1, request.num_generated)
        self._with_ids = bool(request.return_token_ids)
        options = request.stream_options
        self._usage_in_chunks: UnsetType | None = (
            None if options and options.include_usage else UNSET
        )

    @override
    def opening(self, choices: Sequence[Choice]) -> list[msgspec.Struct]:
        return []

    @override
    def chunk(self, delta: ChoiceDelta) -> msgspec.Struct | None:
        choice = self._choice(delta, index=delta.choice.index)
        is_silent = not (choice.text or choice.finish_reason or choice.logprobs or self._with_ids)
        return None if is_silent else self._reply([choice], self._usage_in_chunks)

    @override
    def usage_chunk(self, usage: Usage) -> msgspec.Struct:
        return self._reply([], usage)

    @override
    def reply(self, answers: Sequence[ChoiceDelta], usage: Usage) -> msgspec.Struct:
        wanted, generated = self._num_choices
        if generated > wanted:
            answers = best(answers, wanted=wanted, generated=generated)
        choices = [self._choice(answer, index=index) for index, answer in enumerate(answers)]
        return self._reply(choices, usage)

    def _reply(
        self, choices: list[CompletionChoice], usage: Usage | UnsetType | None
    ) -> CompletionReply:
        return CompletionReply(self._id, self._created, self._model, choices, usage)

    def _choice(self, delta: ChoiceDelta, *, index: int) -> CompletionChoice:
        prompt_ids = delta.choice.prompt.ids
        return CompletionChoice(
            index=index,
            text=self._echoed(delta) + delta.text.text,
            logprobs=self._logprobs(delta),
            finish_reason=delta.text.finish_reason,
            prompt_token_ids=prompt_ids if self._with_ids and delta.is_first else UNSET,
            token_ids=list(delta.text.token_ids) if self._with_ids else UNSET,
        )

    def _echoed(self, delta: ChoiceDelta) -> str:
        return self._prompt_text(delta.choice.prompt) if self._echo and delta.is_first else ""

    def _prompt_text(self, prompt: Prompt) -> str:
        if prompt.text is not None:
            return prompt.text
        return self._tokenizer.decode(prompt.ids, skip_special_tokens=self._skip_special_tokens)

    def _logprobs(self, delta: ChoiceDelta) -> CompletionLogprobs | None:
        if not self._with_logprobs:
            return None
        token_ids = list(delta.text.token_ids)
        entries = list(delta.text.logprobs or ())
        shift = len(self._prompt_text(delta.choice.prompt)) if self._echo else 0
        offsets = [shift + offset for offset in delta.text.text_offsets]
        if self._echo and delta.is_first:
            token_ids = delta.choice.prompt.ids + token_ids
            entries = [*(delta.prompt_logprobs or ()), *entries]
            offsets = self._prompt_offsets(delta.choice.prompt) + offsets
        return logprobs.for_completion(token_ids, entries, offsets, self._tokens)

    def _prompt_offsets(self, prompt: Prompt) -> list[int]:
        """Where each prompt token's text begins."""
        detokenizer = Detokenizer(
            self._tokenizer.backend, skip_special_tokens=self._skip_special_tokens
        )
        offsets: list[int] = []
        position = 0
        for token_id in prompt.ids:
            offsets.append(position)
            position += len(detokenizer.step(token_id))
        return offsets


def best(answers: Sequence[ChoiceDelta], *, wanted: int, generated: int) -> list[ChoiceDelta]:
    """Keep of each prompt's answers those whose tokens are the likeliest on average, best first."""
    kept: list[ChoiceDelta] = []
    for start in range(0, len(answers), generated):
        group = answers[start : start + generated]
        kept += sorted(group, key=_mean_logprob, reverse=True)[:wanted]
    return kept


def _mean_logprob(answer: ChoiceDelta) -> float:
    logprobs = [entry.logprob for entry in answer.text.logprobs or ()]
    return sum(logprobs) / len(logprobs) if logprobs else 0.0
