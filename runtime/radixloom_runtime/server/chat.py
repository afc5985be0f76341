"""`POST /v1/chat/completions`: messages to an order, deltas to chat chunks."""

import secrets
import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import logprobs, order
from radixloom_runtime.server.form import Form
from radixloom_runtime.server.generation import Choice, ChoiceDelta
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.replies import (
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatLogprobs,
    ChatMessage,
    ChatReply,
    Usage,
)
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.text.token_bytes import TokenBytes


def make_order(request: ChatRequest, serving: Serving) -> Order:
    """Write the prompt and check it. Raises: `RequestError`."""
    model = serving.model
    order.check_model(request.model, model)
    if model.chat_template is None:
        raise RequestError(
            f"the model {model.name!r} has no chat template; use /v1/completions",
            code="no_chat_template",
        )
    text = model.chat_template.render([message.for_template() for message in request.messages])
    limit = request.max_completion_tokens or request.max_tokens
    prompt = order.fit(
        model.tokenizer.encode(text, add_special_tokens=False),
        serving.limits,
        max_tokens=limit,
        default_max_tokens=None,
        param="messages",
    )
    wanted = (request.top_logprobs or 0) if request.logprobs else None
    return order.make(request, serving, [prompt], logprobs=wanted)


class ChatForm(Form):
    """Chat completions, whole and in chunks."""

    def __init__(self, request: ChatRequest, tokens: TokenBytes) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())  # noqa: TID251 - a date in the answer
        self._model = request.model
        self._tokens = tokens
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
        text = delta.text
        if not (text.text or text.finish_reason or text.logprobs or self._with_ids):
            return None
        return self._chunk(
            ChatChunkChoice(
                index=delta.choice.index,
                delta=ChatDelta(content=text.text) if text.text else ChatDelta(),
                logprobs=self._logprobs(delta),
                finish_reason=text.finish_reason,
                token_ids=list(text.token_ids) if self._with_ids else UNSET,
            )
        )

    @override
    def usage_chunk(self, usage: Usage) -> msgspec.Struct:
        return ChatChunk(self._id, self._created, self._model, [], usage)

    @override
    def reply(self, answers: Sequence[ChoiceDelta], usage: Usage) -> msgspec.Struct:
        choices = [
            ChatChoice(
                index=answer.choice.index,
                message=ChatMessage(answer.text.text),
                logprobs=self._logprobs(answer),
                finish_reason=answer.text.finish_reason,
                prompt_token_ids=self._prompt_ids(answer.choice),
                token_ids=list(answer.text.token_ids) if self._with_ids else UNSET,
            )
            for answer in answers
        ]
        return ChatReply(self._id, self._created, self._model, choices, usage)

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

    def _logprobs(self, delta: ChoiceDelta) -> ChatLogprobs | None:
        found = delta.text.logprobs
        return None if found is None else logprobs.for_chat(found, self._tokens)
