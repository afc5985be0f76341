"""One HTTP request's choices, from ids to text deltas.

    Order ──► Generation.start ──► a Submit per choice ──► engine
              Generation.next  ◄── a ChoiceDelta per Output, through the choice's TextPipeline

An order with several prompts or `n > 1` is several independent requests to the engine, which finds
their common prefix by itself. Whatever way a generation ends, `close` leaves nothing in the engine.
"""

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from radixloom_runtime.errors import OverloadedError, RequestError
from radixloom_runtime.metrics import Metrics
from radixloom_runtime.server.engine_client import EngineClient
from radixloom_runtime.server.guided import Grammar
from radixloom_runtime.server.inbox import EngineLost, Event, Inbox
from radixloom_runtime.server.order import Order, Prompt
from radixloom_runtime.server.problems import EngineLostError, RequestTimeoutError
from radixloom_runtime.text.pipeline import TextDelta, TextPipeline
from radixloom_runtime.text.tokenizer import Tokenizer
from radixloom_runtime.wire.messages import Output, Rejected, Submit, TimedOut, TokenLogprobs

ABORT = "abort"
"""The finish reason of an answer that somebody else ended."""

_ids = itertools.count()
_process = secrets.token_hex(4)


@dataclass(slots=True)
class Choice:
    """One answer in the making."""

    index: int
    prompt: Prompt
    submit: Submit
    pipeline: TextPipeline
    cached_tokens: int = 0
    num_output: int = 0
    last_token_at: float | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChoiceDelta:
    """What one Output added to one choice."""

    choice: Choice
    text: TextDelta
    is_first: bool
    prompt_logprobs: Sequence[TokenLogprobs | None] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of all choices; each prompt once, with what its first choice found in the cache."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(slots=True, eq=False)
class Generation:
    """The choices of one order, in the engine's hands."""

    order: Order
    engine: EngineClient
    metrics: Metrics
    choices: dict[str, Choice]
    inbox: Inbox = field(default_factory=Inbox)
    started_at: float = field(default_factory=time.monotonic)
    scheduled_at: float | None = None
    """When the first of the choices had a part in a step."""
    first_token_at: float | None = None
    cut_short_by: str = ABORT
    """What ended the choices that have no finish reason."""
    on_close: Callable[[], None] = lambda: None
    """Called at the end, whatever it is."""

    def start(self) -> None:
        """Send every choice to the engine."""
        self.engine.submit([choice.submit for choice in self.choices.values()], self.inbox)

    @property
    def is_finished(self) -> bool:
        """Whether every choice has its finish reason."""
        return all(choice.finish_reason for choice in self.choices.values())

    @property
    def ends(self) -> list[str]:
        """What ended each choice: its finish reason, or why it has none."""
        return [choice.finish_reason or self.cut_short_by for choice in self.choices.values()]

    @property
    def counts(self) -> Counts:
        """Tokens so far."""
        choices = self.choices.values()
        firsts = [choice for choice in choices if choice.index % self.order.num_samples == 0]
        return Counts(
            prompt_tokens=sum(len(choice.prompt.ids) for choice in firsts),
            cached_tokens=sum(choice.cached_tokens for choice in firsts),
            output_tokens=sum(choice.num_output for choice in choices),
        )

    @property
    def last_token_at(self) -> float | None:
        """When the last token so far came."""
        return max(
            filter(None, (choice.last_token_at for choice in self.choices.values())), default=None
        )

    async def next(self) -> list[ChoiceDelta]:
        """Wait for the engine and return what it added, in order.

        Raises: `RequestError` when the engine refuses a choice, or is gone.
        """
        events = await self.inbox.take()
        now = time.monotonic()
        deltas = [self._delta(event, now) for event in events]
        return [delta for delta in deltas if delta is not None]

    def seconds(self) -> dict[str, float]:
        """Return how long it took to be scheduled, to its first token, and in all, so far."""
        reached = {
            "queue_seconds": self.scheduled_at,
            "ttft_seconds": self.first_token_at,
            "total_seconds": time.monotonic(),
        }
        return {
            name: round(at - self.started_at, 4) for name, at in reached.items() if at is not None
        }

    def cut_short(self) -> None:
        """End what is not finished with what there is of it: it is told as by a last Output."""
        for request_id, choice in self.choices.items():
            if choice.finish_reason is None:
                self.engine.abort([request_id])
                last = Output(
                    request_id=request_id,
                    token_ids=[],
                    cached_tokens=choice.cached_tokens,
                    finish_reason=ABORT,
                )
                self.inbox.put(last)

    def close(self) -> None:
        """Take back from the engine what is not finished."""
        self.on_close()
        self.engine.abort(self.choices)
        for reason in self.ends:
            self.metrics.finished.labels(reason).inc()

    def _delta(self, event: Event, now: float) -> ChoiceDelta | None:
        match event:
            case EngineLost():
                raise engine_lost(event)
            case Rejected():
                raise rejection(event, self.order.grammar)
            case TimedOut():
                raise self._timed_out()
            case Output():
                choice = self.choices[event.request_id]
                # A stop string may end a choice while the engine's next token is on its way.
                return None if choice.finish_reason else self._take(choice, event, now)

    def _timed_out(self) -> RequestTimeoutError:
        self.cut_short_by = "deadline"
        num_output = sum(choice.num_output for choice in self.choices.values())
        return RequestTimeoutError(
            f"the answer was not complete after {self.order.timeout_seconds:g} s, with"
            f" {num_output} tokens generated; give a longer `timeout` or ask for fewer tokens",
            param="timeout",
            code="request_timeout",
        )

    def _take(self, choice: Choice, output: Output, now: float) -> ChoiceDelta:
        is_first = choice.num_output == 0 and choice.last_token_at is None
        text = choice.pipeline.feed(output)
        choice.cached_tokens = output.cached_tokens
        if self.scheduled_at is None:
            self.scheduled_at = output.scheduled_at
        choice.num_output += len(text.token_ids)
        choice.finish_reason = text.finish_reason
        if text.finish_reason and output.finish_reason is None:
            self.engine.abort([output.request_id])
        self._observe(choice, len(text.token_ids), now)
        return ChoiceDelta(choice, text, is_first, output.prompt_logprobs)

    def _observe(self, choice: Choice, num_tokens: int, now: float) -> None:
        if self.first_token_at is None:
            self.first_token_at = now
            self.metrics.time_to_first_token.observe(now - self.started_at)
        if choice.last_token_at is not None:
            for _ in range(num_tokens):
                self.metrics.inter_token_latency.observe((now - choice.last_token_at) / num_tokens)
        choice.last_token_at = now
        if choice.finish_reason and self.is_finished:
            self.metrics.request_seconds.observe(now - self.started_at)


def prepare(
    order: Order, tokenizer: Tokenizer, engine: EngineClient, metrics: Metrics
) -> Generation:
    """Make the choices of an order; nothing is sent yet."""
    seed = secrets.randbits(32) if order.seed is None else order.seed
    timeout = order.timeout_seconds
    deadline = None if timeout is None else time.monotonic() + timeout
    choices: dict[str, Choice] = {}
    for prompt_index, prompt in enumerate(order.prompts):
        for sample in range(order.num_samples):
            index = prompt_index * order.num_samples + sample
            request_id = f"{_process}-{next(_ids)}"
            # Unseeded prompts of one request must not all be drawn with the same numbers.
            offset = sample if order.seed is not None else index
            choices[request_id] = Choice(
                index=index,
                prompt=prompt,
                submit=order.submit(
                    prompt,
                    request_id=request_id,
                    seed=(seed + offset) % 2**32,
                    deadline=deadline,
                ),
                pipeline=TextPipeline(
                    tokenizer.backend,
                    stops=order.stops,
                    skip_special_tokens=order.skip_special_tokens,
                    kept_tokens=order.reading.tokens,
                    min_tokens=order.min_tokens,
                ),
            )
    return Generation(order, engine, metrics, choices)


def engine_lost(lost: EngineLost) -> EngineLostError:
    """Tell that nothing more will come."""
    return EngineLostError(
        f"the engine ended while it worked on this request: {lost.message}", code="engine_lost"
    )


def rejection(rejected: Rejected, grammar: Grammar | None = None) -> RequestError:
    """Tell why the engine does not take a request, or no further."""
    if rejected.is_grammars_fault and grammar is not None:
        return RequestError(
            f"{grammar.param}: {rejected.message}", param=grammar.param, code="invalid_grammar"
        )
    if rejected.retry_after_seconds is None:
        return RequestError(rejected.message)
    return OverloadedError(rejected.message, retry_after_seconds=rejected.retry_after_seconds)
