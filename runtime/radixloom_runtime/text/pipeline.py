"""From the engine's token deltas to the text deltas of one choice.

    ids ──► Detokenizer ──► StopMatcher ──► text
     └──────────────────────────────────► ids and logprobs, up to where the answer stopped

Each id is fed alone, so the outcome does not depend on how ids came together in messages.
The stop token itself (end of sequence, or one of the client's) adds no text, but is among the ids
and logprobs: the model did produce it, and usage counts it. A stop string is cut out of the text;
the ids that made it stay, those after it do not exist for the client.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer as Backend

from radixloom_runtime.text.detokenizer import Detokenizer
from radixloom_runtime.text.stops import StopMatcher
from radixloom_runtime.wire.messages import Output, TokenLogprobs

STOP = "stop"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What one message of the engine added to a choice."""

    text: str
    token_ids: Sequence[int]
    finish_reason: str | None = None
    logprobs: Sequence[TokenLogprobs] | None = None
    text_offsets: Sequence[int] = field(default_factory=list[int])
    """Where each token's text begins in the whole answer, in characters."""
    stop_string: str | None = None
    """Which one ended the answer, if one did."""


class TextPipeline:
    """The state of one choice between two messages."""

    def __init__(
        self,
        backend: Backend,
        *,
        stops: Sequence[str] = (),
        skip_special_tokens: bool = True,
        kept_tokens: Collection[str] = (),
        min_tokens: int = 0,
    ) -> None:
        """Stop strings that are complete before `min_tokens` tokens do not count."""
        self._detokenizer = Detokenizer(
            backend, skip_special_tokens=skip_special_tokens, kept_tokens=kept_tokens
        )
        self._stops = StopMatcher(stops)
        self._min_tokens = min_tokens
        self._num_tokens = 0
        self._num_characters = 0

    def feed(self, output: Output) -> TextDelta:
        """Take one message; `finish_reason` may say "stop" where the engine's says nothing."""
        ends_with_stop_token = output.finish_reason == STOP and not output.ends_in_text
        last = len(output.token_ids) - 1
        pieces: list[str] = []
        offsets: list[int] = []
        for index, token_id in enumerate(output.token_ids):
            offsets.append(self._num_characters)
            if not (ends_with_stop_token and index == last):
                pieces.append(self._step(token_id))
            if self._stops.stopped:
                break
        if output.finish_reason is not None and not self._stops.stopped:
            pieces.append(self._finish())
        return _delta(output, pieces, offsets, stop_string=self._stops.matched)

    def _step(self, token_id: int) -> str:
        self._num_tokens += 1
        return self._until_stop(self._detokenizer.step(token_id))

    def _finish(self) -> str:
        text = self._until_stop(self._detokenizer.finish())
        return text if self._stops.stopped else text + self._stops.finish()

    def _until_stop(self, text: str) -> str:
        self._num_characters += len(text)
        return self._stops.feed(text) if self._num_tokens >= self._min_tokens else text


def _delta(
    output: Output, pieces: list[str], offsets: list[int], *, stop_string: str | None
) -> TextDelta:
    """Cut ids and logprobs to the tokens that were looked at."""
    count = len(offsets)
    return TextDelta(
        text="".join(pieces),
        token_ids=output.token_ids[:count],
        finish_reason=STOP if stop_string is not None else output.finish_reason,
        logprobs=None if output.logprobs is None else output.logprobs[:count],
        text_offsets=offsets,
        stop_string=stop_string,
    )
