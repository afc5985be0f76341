"""Send the prompts: when they arrive, how many at a time, and the clock of the measurement."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from radixloom_runtime.commands import endpoint
from radixloom_runtime.commands.bench.client import Answer, Failure, body, complete
from radixloom_runtime.errors import ConfigurationError

READ_SECONDS = 600.0
"""Longest silence between two tokens before a request counts as failed."""


@dataclass(frozen=True, slots=True)
class Load:
    """How to ask. A rate of infinity sends everything at once."""

    address: str
    model: str
    output_tokens: int
    requests_per_second: float
    max_concurrency: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back; `seconds` from the first request's start to the last one's end."""

    seconds: float
    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...]


async def measure(
    load: Load, prompts: Sequence[list[int]], warmup: Sequence[list[int]]
) -> Measured:
    """Run the warm-up, then the measurement.

    Raises: `ConfigurationError` when the warm-up fails: the rest would, too.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        limits=limits, timeout=endpoint.timeout(READ_SECONDS), headers=endpoint.headers()
    ) as client:
        at_once = replace(load, requests_per_second=math.inf)
        warm = await _run(client, at_once, warmup, "warm-up")
        if warm.failures:
            raise ConfigurationError(f"the warm-up request failed: {warm.failures[0].reason}")
        return await _run(client, load, prompts, "requests")


async def _run(
    client: httpx.AsyncClient, load: Load, prompts: Sequence[list[int]], title: str
) -> Measured:
    slots = asyncio.Semaphore(load.max_concurrency or max(1, len(prompts)))
    began = time.perf_counter()

    async def ask(prompt: list[int]) -> Answer | Failure:
        async with slots:
            request = body(load.model, prompt, load.output_tokens)
            result = await complete(
                client, load.address, request, lambda: time.perf_counter() - began
            )
        progress.advance(task)
        return result

    with _progress() as progress:
        task = progress.add_task(title, total=len(prompts))
        asked = [asyncio.create_task(ask(prompt)) async for prompt in _arriving(prompts, load)]
        results = await asyncio.gather(*asked)
        seconds = time.perf_counter() - began
    return Measured(
        seconds=seconds,
        answers=tuple(result for result in results if isinstance(result, Answer)),
        failures=tuple(result for result in results if isinstance(result, Failure)),
    )


async def _arriving(prompts: Sequence[list[int]], load: Load) -> AsyncIterator[list[int]]:
    for prompt, seconds in zip(prompts, gaps(len(prompts), load), strict=True):
        if seconds:
            await asyncio.sleep(seconds)
        yield prompt


def gaps(count: int, load: Load) -> list[float]:
    """Draw the seconds before each of `count` arrivals: none at all, or a Poisson process."""
    if math.isinf(load.requests_per_second):
        return [0.0] * count
    draws = random.Random(load.seed)  # noqa: S311 - load, not secrets
    return [draws.expovariate(load.requests_per_second) for _ in range(count)]


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))
