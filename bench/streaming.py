"""One streamed answer to a prompt of token ids, and prompts of real text to ask with."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

GOLDENS = Path(__file__).parents[1] / "tests" / "goldens" / "smollm2-135m-public.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """The ids of one answer, and when its first and last token came."""

    token_ids: tuple[int, ...]
    cached_tokens: int
    first_seconds: float
    seconds: float


def golden_prompts() -> list[list[int]]:
    """Give the golden prompts' ids: real text in the demo model's own chat form."""
    goldens = json.loads(GOLDENS.read_text(encoding="utf-8"))
    return [golden["prompt_ids"] for golden in goldens["prompts"]]


def text_of_length(draws: random.Random, num_tokens: int) -> list[int]:
    """Join golden prompts, drawn one after the other, to exactly `num_tokens` ids."""
    texts, ids = golden_prompts(), list[int]()
    while len(ids) < num_tokens:
        ids += draws.choice(texts)
    return ids[:num_tokens]


def request(model: str, prompt: Sequence[int], output_tokens: int) -> dict[str, Any]:
    """Ask greedily for exactly `output_tokens` tokens."""
    return {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": output_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }


async def stream(client: httpx.AsyncClient, body: dict[str, Any]) -> Answer:
    """Send a request and read its answer as a stream."""
    began = time.perf_counter()
    first_seconds, token_ids, cached = 0.0, list[int](), 0
    streaming = {**body, "stream": True, "stream_options": {"include_usage": True}}
    async with client.stream("POST", "completions", json=streaming) as response:
        if response.is_error:
            raise SystemExit(f"HTTP {response.status_code}: {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if chunk.get("usage"):
                details = chunk["usage"].get("prompt_tokens_details") or {}
                cached = details.get("cached_tokens") or 0
            for choice in chunk["choices"]:
                first_seconds = first_seconds or time.perf_counter() - began
                token_ids += choice["token_ids"]
    return Answer(tuple(token_ids), cached, first_seconds, time.perf_counter() - began)
