"""`/generate` and what its clients ask beside it, by the names of SGL-JAX.

A body becomes the `CompletionRequest` that asks for the same, so that the two endpoints cannot
come to mean different things; only what is told differs. Every event of a stream has all of the
text so far, as these clients expect.
"""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import completions
from radixloom_runtime.server.form import Form
from radixloom_runtime.server.generation import ABORT, Choice, ChoiceDelta
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.replies import Usage
from radixloom_runtime.server.schema_completions import CompletionRequest
from radixloom_runtime.server.schema_native import DEFAULT_MAX_NEW_TOKENS, GenerateRequest
from radixloom_runtime.text.token_bytes import TokenBytes
from radixloom_runtime.wire.messages import TokenLogprobs

Logprob = tuple[float | None, int, str | None]
"""Of a token: its logprob, its id, and its text where that was asked for."""

_RENAMED = {
    "max_new_tokens": "max_tokens",
    "min_new_tokens": "min_tokens",
    "sampling_seed": "seed",
    "regex": "guided_regex",
    "ebnf": "guided_grammar",
    "json_schema": "guided_json",
}
"""Of sampling parameters, to those of a completion; the others are called the same."""
_NAMES = {ours: f"sampling_params.{theirs}" for theirs, ours in _RENAMED.items()}
_NAMES["structured_outputs.structural_tag"] = "sampling_params.structural_tag"
_NAMES["model"] = "lora_path"
_SAMPLING = {"stop_token_ids", "logit_bias", "n"}


class Meta(msgspec.Struct, frozen=True):
    """`meta_info`: what is told beside the text."""

    id: str
    finish_reason: dict[str, Any] | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    e2e_latency: float
    """Seconds so far."""
    output_token_logprobs: list[Logprob] | UnsetType = UNSET
    output_top_logprobs: list[list[Logprob]] | UnsetType = UNSET
    input_token_logprobs: list[Logprob] | UnsetType = UNSET
    input_top_logprobs: list[list[Logprob] | None] | UnsetType = UNSET


class Generated(msgspec.Struct, frozen=True):
    """One answer, or all of it so far."""

    text: str
    output_ids: list[int]
    meta_info: Meta
    index: int | UnsetType = UNSET
    """Which answer, in a stream of several."""


def as_completion(wanted: GenerateRequest, model: str) -> CompletionRequest:
    """Return the completion that asks for the same."""
    given = wanted.sampling_params.model_dump(exclude_none=True, by_alias=True)
    sampling = {_RENAMED.get(name, name): value for name, value in given.items()}
    sampling.setdefault("max_tokens", DEFAULT_MAX_NEW_TOKENS)
    if (tag := sampling.pop("structural_tag", None)) is not None:
        sampling["structured_outputs"] = {"structural_tag": tag}
    return CompletionRequest.model_validate(
        {
            **sampling,
            "model": model,
            "prompt": wanted.input_ids if wanted.text is None else wanted.text,
            "logprobs": (wanted.top_logprobs_num or 0) if wanted.return_logprob else None,
            "echo": wanted.wants_prompt_logprobs,
            "stream": wanted.stream,
            "priority": wanted.priority,
            "user": wanted.user,
            "timeout": wanted.timeout,
        }
    )


async def make_order(
    wanted: GenerateRequest, completion: CompletionRequest, serving: Serving
) -> Order:
    """Tokenize and check, in a thread. Raises: `RequestError` with the names of `/generate`."""
    try:
        order = await asyncio.to_thread(completions.make_order, completion, serving)
    except RequestError as error:
        error.param = _named(error.param, wanted)
        raise
    if order.grammar is None:
        return order
    param = _named(order.grammar.param, wanted) or order.grammar.param
    return dataclasses.replace(order, grammar=dataclasses.replace(order.grammar, param=param))


def _named(param: str | None, wanted: GenerateRequest) -> str | None:
    if param == "prompt":
        return "input_ids" if wanted.text is None else "text"
    if param in _SAMPLING:
        return f"sampling_params.{param}"
    return _NAMES.get(param, param) if param else None


class _Told:
    """All that was told of one answer so far; the choice itself may be further already."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.ids: list[int] = []
        self.logprobs: list[TokenLogprobs] = []
        self.prompt_logprobs: Sequence[TokenLogprobs | None] = ()
        self.finish_reason: str | None = None

    def add(self, delta: ChoiceDelta) -> None:
        self.text.append(delta.text.text)
        self.ids.extend(delta.text.token_ids)
        self.logprobs.extend(delta.text.logprobs or ())
        self.finish_reason = delta.text.finish_reason
        if delta.prompt_logprobs is not None:
            self.prompt_logprobs = delta.prompt_logprobs


class GenerateForm(Form):
    """Answers of `/generate`, whole and in events."""

    def __init__(self, wanted: GenerateRequest, tokens: TokenBytes) -> None:
        self._wanted = wanted
        self._tokens = tokens
        self._id = wanted.rid or secrets.token_hex(16)
        self._told: dict[int, _Told] = {}
        self._started = time.monotonic()

    @override
    def opening(self, choices: Sequence[Choice]) -> list[msgspec.Struct]:
        return []

    @override
    def chunk(self, delta: ChoiceDelta) -> msgspec.Struct | None:
        told = self._told.setdefault(delta.choice.index, _Told())
        told.add(delta)
        index = delta.choice.index if self._wanted.is_batch else UNSET
        return self._generated(delta.choice, told, index=index)

    @override
    def usage_chunk(self, usage: Usage) -> msgspec.Struct:
        raise NotImplementedError("every event has its counts")

    @override
    def reply(
        self, answers: Sequence[ChoiceDelta], usage: Usage
    ) -> msgspec.Struct | list[msgspec.Struct]:
        whole: list[msgspec.Struct] = []
        for answer in answers:
            told = _Told()
            told.add(answer)
            whole.append(self._generated(answer.choice, told, index=UNSET))
        return whole if self._wanted.is_batch else whole[0]

    def _generated(self, choice: Choice, told: _Told, *, index: int | UnsetType) -> Generated:
        id_ = f"{self._id}-{choice.index}" if self._wanted.is_batch else self._id
        meta = Meta(
            id=id_,
            finish_reason=_finish(told.finish_reason, choice),
            prompt_tokens=len(choice.prompt.ids),
            completion_tokens=len(told.ids),
            cached_tokens=choice.cached_tokens,
            e2e_latency=time.monotonic() - self._started,
            **self._logprobs(choice, told),
        )
        return Generated("".join(told.text), list(told.ids), meta, index)

    def _logprobs(self, choice: Choice, told: _Told) -> dict[str, Any]:
        wanted = self._wanted
        if not wanted.return_logprob:
            return {}
        fields: dict[str, Any] = {
            "output_token_logprobs": [self._entry(each) for each in told.logprobs]
        }
        if wanted.top_logprobs_num:
            fields["output_top_logprobs"] = [self._top(each) for each in told.logprobs]
        if wanted.wants_prompt_logprobs:
            start = wanted.logprob_start_len or 0
            pairs = list(zip(choice.prompt.ids, told.prompt_logprobs, strict=False))[start:]
            fields["input_token_logprobs"] = [
                (None, token_id, self._text(token_id)) if each is None else self._entry(each)
                for token_id, each in pairs
            ]
            if wanted.top_logprobs_num:
                fields["input_top_logprobs"] = [each and self._top(each) for _, each in pairs]
        return fields

    def _entry(self, entry: TokenLogprobs) -> Logprob:
        return entry.logprob, entry.token_id, self._text(entry.token_id)

    def _top(self, entry: TokenLogprobs) -> list[Logprob]:
        pairs: Iterable[tuple[int, float]] = zip(entry.top_ids, entry.top_logprobs, strict=True)
        return [(logprob, token_id, self._text(token_id)) for token_id, logprob in pairs]

    def _text(self, token_id: int) -> str | None:
        return self._tokens.text_of(token_id) if self._wanted.return_text_in_logprobs else None


def _finish(reason: str | None, choice: Choice) -> dict[str, Any] | None:
    if reason == "length":
        return {"type": reason, "length": choice.prompt.max_tokens}
    if reason == ABORT:
        return {"type": reason, "message": "aborted by /abort_request or /pause_generation"}
    return {"type": reason} if reason else None
