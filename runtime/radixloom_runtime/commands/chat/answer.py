"""One streamed answer: thoughts and text piece by piece, then what it took."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from radixloom_runtime.commands import endpoint
from radixloom_runtime.errors import RequestError


class Piece(NamedTuple):
    """A piece of an answer."""

    text: str
    is_thought: bool
    """What the model thinks before it answers; no part of what was said."""


@dataclass(slots=True)
class Answer:
    """Grows while it is read; `usage` stays empty when the server told none, or was stopped."""

    clock: Callable[[], float] = time.perf_counter
    text: str = ""
    is_whole: bool = False
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    sent_seconds: float = 0.0
    first_seconds: float | None = None
    last_seconds: float = 0.0

    def pieces(self, client: httpx.Client, server: str, request: dict[str, Any]) -> Iterator[Piece]:
        """Send the request and give each piece as it comes.

        Raises: `RequestError` when the server refuses; `httpx.TransportError` when it is gone.
        """
        self.sent_seconds = self.clock()
        with client.stream("POST", f"{server}/chat/completions", json=request) as response:
            if response.status_code != httpx.codes.OK.value:
                raise RequestError(endpoint.problem(response.status_code, response.read()))
            decoder = endpoint.EventDecoder()
            for chunk in response.iter_raw():
                yield from self._taken(decoder.feed(chunk))
        if not self.is_whole:
            raise RequestError("the answer broke off: the server closed the stream")

    def _taken(self, events: Iterator[str]) -> Iterator[Piece]:
        for event in events:
            if event == endpoint.DONE:
                self.is_whole = True
                return
            for piece in self._take(event):
                self.last_seconds = self.clock()
                self.first_seconds = self.first_seconds or self.last_seconds
                self.text += "" if piece.is_thought else piece.text
                yield piece

    def _take(self, event: str) -> Iterator[Piece]:
        try:
            chunk = endpoint.parsed(event)
        except ValueError as error:
            raise RequestError(f"the answer broke off: {error}") from error
        self.usage = chunk.get("usage") or self.usage
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield Piece(thought, is_thought=True)
        if text := delta.get("content"):
            yield Piece(text, is_thought=False)

    def summary(self) -> str:
        """Say in a line how fast it came and how much of the prompt was cached."""
        if self.first_seconds is None:
            return "no text"
        parts: list[str] = []
        tokens = self.usage.get("completion_tokens")
        if tokens is not None:
            parts.append(f"{tokens} tokens")
            if tokens > 1 and self.last_seconds > self.first_seconds:
                speed = (tokens - 1) / (self.last_seconds - self.first_seconds)
                parts.append(f"{speed:.1f} tokens/s")
        parts.append(f"first after {self.first_seconds - self.sent_seconds:.2f} s")
        if self.usage:
            details = self.usage.get("prompt_tokens_details") or {}
            cached = details.get("cached_tokens") or 0
            parts.append(f"{cached} of {self.usage.get('prompt_tokens', 0)} prompt tokens cached")
        return ", ".join(parts)
