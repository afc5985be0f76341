"""How Anthropic tells an answer, whole and in events."""

import secrets
from collections.abc import Sequence

import msgspec
from typing_extensions import override

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.anthropic import block_stream, errors
from radixloom_runtime.server.anthropic.block_stream import BlockStream
from radixloom_runtime.server.anthropic.replies import (
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    Stop,
    Usage,
)
from radixloom_runtime.server.form import EventForm
from radixloom_runtime.server.generation import ABORT, Choice, ChoiceDelta
from radixloom_runtime.server.replies import Usage as OpenAIUsage
from radixloom_runtime.text.pipeline import STOP, TextDelta
from radixloom_runtime.text.reading import AnswerReader, Reading


class MessageForm(EventForm):
    """A message."""

    def __init__(self, model: str, reading: Reading) -> None:
        self._id = f"msg_{secrets.token_hex(12)}"
        self._model = model
        self._reader: AnswerReader = reading.open()
        self._blocks = BlockStream()
        self._stop = Stop("end_turn", None)

    @override
    def opening(self, choice: Choice) -> list[msgspec.Struct]:
        usage = _usage(len(choice.prompt.ids), choice.cached_tokens, 0)
        return [MessageStart(self._message([], None, usage)), Ping()]

    @override
    def events(self, delta: ChoiceDelta) -> list[msgspec.Struct]:
        told = self._blocks.feed(self._reader.feed(delta.text.text))
        if delta.text.finish_reason is not None:
            told += self._blocks.feed(self._reader.finish()) + self._blocks.close()
            self._stop = _stop(delta.text, called=self._blocks.called)
        return told

    @override
    def closing(self, usage: OpenAIUsage) -> list[msgspec.Struct]:
        return [MessageDelta(self._stop, _usage_of(usage)), MessageStop()]

    @override
    def broken_off(self, error: RequestError) -> list[msgspec.Struct]:
        return [errors.told(error)]

    @override
    def waiting(self) -> list[msgspec.Struct]:
        return [Ping()]

    @override
    def reply(self, answers: Sequence[ChoiceDelta], usage: OpenAIUsage) -> msgspec.Struct:
        [answer] = answers
        content = block_stream.whole(self.events(answer))
        return self._message(content, self._stop, _usage_of(usage))

    def _message(
        self, content: list[block_stream.Block], stop: Stop | None, usage: Usage
    ) -> Message:
        return Message(
            id=self._id,
            model=self._model,
            content=content,
            stop_reason=stop and stop.stop_reason,
            stop_sequence=stop and stop.stop_sequence,
            usage=usage,
        )


def _stop(text: TextDelta, *, called: bool) -> Stop:
    if text.finish_reason == ABORT:
        return Stop("pause_turn", None)  # sent back as it is, it goes on
    if text.finish_reason != STOP:
        return Stop("max_tokens", None)
    if text.stop_string is not None:
        return Stop("stop_sequence", text.stop_string)
    return Stop("tool_use" if called else "end_turn", None)


def _usage_of(usage: OpenAIUsage) -> Usage:
    cached = usage.prompt_tokens_details.cached_tokens
    return _usage(usage.prompt_tokens, cached, usage.completion_tokens)


def _usage(prompt_tokens: int, cached_tokens: int, output_tokens: int) -> Usage:
    return Usage(prompt_tokens - cached_tokens, cached_tokens, output_tokens)
