"""`POST /v1/chat/completions`: messages to an order, deltas to chat chunks."""

import dataclasses
import secrets
import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from radixloom_runtime.server import chat_parts, chat_prompt, logprobs, order
from radixloom_runtime.server.form import Form
from radixloom_runtime.server.generation import Choice, ChoiceDelta
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.replies import (
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatLogprob,
    ChatLogprobs,
    ChatReply,
    Usage,
)
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.text.pipeline import STOP
from radixloom_runtime.text.reading import AnswerReader, Reading
from radixloom_runtime.text.token_bytes import TokenBytes


def make_order(request: ChatRequest, serving: Serving) -> Order:
    """Write the prompt and check it. Raises: `RequestError`."""
    model = serving.model
    order.check_model(request.model, model)
    written = chat_prompt.write(request, model)
    prompt = order.fit(
        model.tokenizer.encode(written.text, add_special_tokens=False),
        serving.limits,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        default_max_tokens=None,
        param="messages",
    )
    made = order.make(
        request,
        serving,
        [prompt],
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        prompt_logprobs=request.prompt_logprobs,
    )
    return dataclasses.replace(made, reading=written.reading, grammar=written.grammar)


def finish_reason(reason: str | None, *, called: bool) -> str | None:
    """Return why an answer ended, as OpenAI says it of one that called tools."""
    return "tool_calls" if called and reason == STOP else reason


class ChatForm(Form):
    """Chat completions, whole and in chunks."""

    def __init__(self, request: ChatRequest, reading: Reading, tokens: TokenBytes) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())  # noqa: TID251 - a date in the answer
        self._model = request.model
        self._tokens = tokens
        self._reading = reading
        self._readers: dict[int, AnswerReader] = {}
        """Of streamed choices, by index."""
        self._callers: set[int] = set()
        """Choices that have called a tool."""
        self._with_ids = bool(request.return_token_ids)
        options = request.stream_options
        self._usage_in_chunks: UnsetType | None = (
            None if options and options.include_usage else UNSET
        )

    @override
    def opening(self, choices: Sequence[Choice]) -> list[msgspec.Struct]:
        return [self._opening_chunk(choice) for choice in choices]

    @override
    def chunk(self, delta: ChoiceDelta) -> msgspec.Struct | None:
        text, index = delta.text, delta.choice.index
        reader = self._readers.setdefault(index, self._reading.open())
        events = reader.feed(text.text)
        if text.finish_reason:
            events += reader.finish()
        if not (events or text.finish_reason or text.logprobs or self._with_ids):
            return None
        told = chat_parts.delta(events)
        if told.tool_calls is not UNSET:
            self._callers.add(index)
        return self._chunk(
            ChatChunkChoice(
                index=index,
                delta=told,
                logprobs=self._logprobs(delta),
                finish_reason=finish_reason(text.finish_reason, called=index in self._callers),
                token_ids=list(text.token_ids) if self._with_ids else UNSET,
            )
        )

    @override
    def usage_chunk(self, usage: Usage) -> msgspec.Struct:
        return ChatChunk(self._id, self._created, self._model, [], usage)

    @override
    def reply(self, answers: Sequence[ChoiceDelta], usage: Usage) -> msgspec.Struct:
        choices = [self._choice(answer) for answer in answers]
        return ChatReply(
            self._id,
            self._created,
            self._model,
            choices,
            usage,
            prompt_logprobs=self._prompt_logprobs(answers[0]),
        )

    def _choice(self, answer: ChoiceDelta) -> ChatChoice:
        reader = self._reading.open()
        said = chat_parts.message(reader.feed(answer.text.text) + reader.finish())
        return ChatChoice(
            index=answer.choice.index,
            message=said,
            logprobs=self._logprobs(answer),
            finish_reason=finish_reason(
                answer.text.finish_reason, called=said.tool_calls is not UNSET
            ),
            prompt_token_ids=self._prompt_ids(answer.choice),
            token_ids=list(answer.text.token_ids) if self._with_ids else UNSET,
        )

    def _opening_chunk(self, choice: Choice) -> msgspec.Struct:
        return self._chunk(
            ChatChunkChoice(
                index=choice.index,
                delta=ChatDelta(role="assistant", content=""),
                logprobs=None,
                finish_reason=None,
                prompt_token_ids=self._prompt_ids(choice),
            )
        )

    def _chunk(self, choice: ChatChunkChoice) -> ChatChunk:
        return ChatChunk(self._id, self._created, self._model, [choice], self._usage_in_chunks)

    def _prompt_ids(self, choice: Choice) -> list[int] | UnsetType:
        return choice.prompt.ids if self._with_ids else UNSET

    def _prompt_logprobs(self, answer: ChoiceDelta) -> list[ChatLogprob | None] | UnsetType:
        found = answer.prompt_logprobs
        return UNSET if found is None else logprobs.for_prompt(found, self._tokens)

    def _logprobs(self, delta: ChoiceDelta) -> ChatLogprobs | None:
        found = delta.text.logprobs
        return None if found is None else logprobs.for_chat(found, self._tokens)
