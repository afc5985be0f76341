"""One streamed completion, timed token by token."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from radixloom_runtime.commands import endpoint

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Tokens that came in one piece, `seconds` after the measurement began."""

    seconds: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was answered whole."""

    sent_seconds: float
    ended_seconds: float
    arrivals: tuple[Arrival, ...]
    prompt_tokens: int
    cached_tokens: int

    @property
    def output_tokens(self) -> int:
        """How many tokens came."""
        return sum(arrival.num_tokens for arrival in self.arrivals)

    @property
    def latency_seconds(self) -> float:
        """From sending to the end of the answer."""
        return self.ended_seconds - self.sent_seconds

    @property
    def first_token_seconds(self) -> float:
        """From sending to the first token."""
        return self.arrivals[0].seconds - self.sent_seconds

    def token_gaps(self) -> list[float]:
        """Seconds between tokens; tokens that came together share the wait before them evenly."""
        gaps: list[float] = []
        for before, arrival in zip(self.arrivals, self.arrivals[1:], strict=False):
            gap = (arrival.seconds - before.seconds) / arrival.num_tokens
            gaps += [gap] * arrival.num_tokens
        return gaps


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was refused, broke off, or ended without what it must have."""

    reason: str


def body(model: str, prompt_ids: list[int], output_tokens: int) -> dict[str, Any]:
    """Ask for exactly `output_tokens` tokens, and to be told their ids and the usage."""
    return {
        "model": model,
        "prompt": prompt_ids,
        "max_tokens": output_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "return_token_ids": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def complete(
    client: httpx.AsyncClient, address: str, request: dict[str, Any], clock: Clock
) -> Answer | Failure:
    """Send one request and time its answer; every way to fail becomes a `Failure`."""
    sent_seconds = clock()
    try:
        async with client.stream("POST", f"{address}/completions", json=request) as response:
            if response.status_code != httpx.codes.OK.value:
                return Failure(endpoint.problem(response.status_code, await response.aread()))
            return await _read(response.aiter_raw(), sent_seconds, clock)
    except (httpx.HTTPError, ValueError, LookupError) as error:
        return Failure(f"{type(error).__name__}: {error}")


async def _read(
    chunks: AsyncIterator[bytes], sent_seconds: float, clock: Clock
) -> Answer | Failure:
    arrivals: list[Arrival] = []
    usage: dict[str, Any] = {}
    async for event in _events(chunks):
        seconds = clock()
        chunk = endpoint.parsed(event)
        usage = chunk.get("usage") or usage
        if num_tokens := sum(len(choice["token_ids"]) for choice in chunk["choices"]):
            arrivals.append(Arrival(seconds, num_tokens))
    if not arrivals or not usage:
        return Failure("the stream ended without " + ("tokens" if usage else "usage"))
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        sent_seconds=sent_seconds,
        ended_seconds=arrivals[-1].seconds,
        arrivals=tuple(arrivals),
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=details.get("cached_tokens") or 0,
    )


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Give events up to the one that ends the stream.

    Raises: `ValueError` when the stream ends without it.
    """
    decoder = endpoint.EventDecoder()
    async for chunk in chunks:
        for event in decoder.feed(chunk):
            if event == endpoint.DONE:
                return
            yield event
    raise ValueError(f"the stream broke off: no {json.dumps(endpoint.DONE)} at its end")
