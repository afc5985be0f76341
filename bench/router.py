"""Conversations through a router before several replicas: in turn, and by prefix, in one run.

    python bench/router.py "$(radixloom fetch demo)" [--replicas 4] [--rounds 2]

Starts the replicas and, for each policy in turn, a router of its own. Every round has conversations
that no replica has seen; all share a system prompt, and each goes on for some turns, answers of the
model included. Only so many requests run at once, so that other conversations come between two
turns of one. What counts is the share of prompt tokens that came from a cache, as the replicas
report it, and the time to the first token.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from running_server import Server, api_base, running, serving

POLICIES = ("round-robin", "prefix")
WORDS = """
    time year people way day man thing woman life child world school state family student group
    country problem hand part place case week company system program question work number night
    point home water room mother area money story fact month lot right study book eye job word
    business issue side kind head house service friend father power hour game line end member
"""
SYSTEM_WORDS, TURN_WORDS, OUTPUT_TOKENS = 200, 100, 16


@dataclass(frozen=True, slots=True)
class Turn:
    """What one answer took."""

    prompt_tokens: int
    cached_tokens: int
    first_seconds: float


def words(draws: random.Random, count: int) -> str:
    """Draw a text."""
    return " ".join(draws.choices(WORDS.split(), k=count))


def conversations(draws: random.Random, count: int, turns: int) -> list[list[str]]:
    """Draw what the users say; the first text of each is the system prompt that all share."""
    system = words(draws, SYSTEM_WORDS)
    return [[system, *(words(draws, TURN_WORDS) for _ in range(turns))] for _ in range(count)]


async def talk(
    client: httpx.AsyncClient, model: str, texts: list[str], gate: asyncio.Semaphore
) -> list[Turn]:
    """Hold one conversation to its end; `gate` bounds the requests that run at once."""
    system, *questions = texts
    messages = [{"role": "system", "content": system}]
    turns: list[Turn] = []
    for question in questions:
        messages.append({"role": "user", "content": question})
        async with gate:
            text, turn = await ask(client, model, messages)
        messages.append({"role": "assistant", "content": text})
        turns.append(turn)
    return turns


async def ask(
    client: httpx.AsyncClient, model: str, messages: list[dict[str, str]]
) -> tuple[str, Turn]:
    """Ask for one answer and read it as a stream."""
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": OUTPUT_TOKENS}
    body |= {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    began, first_seconds, text = time.perf_counter(), 0.0, ""
    usage: dict[str, Any] = {}
    async with client.stream("POST", "chat/completions", json=body) as response:
        if response.is_error:
            raise SystemExit(f"HTTP {response.status_code}: {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                piece = choice["delta"].get("content") or ""
                if piece and not text:
                    first_seconds = time.perf_counter() - began
                text += piece
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return text, Turn(usage["prompt_tokens"], cached, first_seconds)


async def converse(router: Server, options: argparse.Namespace, seed: str) -> list[Turn]:
    """Hold all conversations of a round."""
    texts = conversations(random.Random(seed), options.conversations, options.turns)
    gate = asyncio.Semaphore(options.at_once)
    async with httpx.AsyncClient(base_url=api_base(router.url), timeout=600) as client:
        talks = (talk(client, router.model, each, gate) for each in texts)
        return [turn for turns in await asyncio.gather(*talks) for turn in turns]


def report(policy: str, turns: list[Turn], seconds: float) -> None:
    """Print what came of a round."""
    prompt = sum(turn.prompt_tokens for turn in turns)
    cached = sum(turn.cached_tokens for turn in turns)
    first = sorted(turn.first_seconds for turn in turns)
    print(
        f"{policy:>12}: {len(turns)} answers, {prompt} prompt tokens in {seconds:.1f} s,"
        f" {cached / prompt:.1%} cached; TTFT median {statistics.median(first):.3f} s,"
        f" 90 % {first[len(first) * 9 // 10]:.3f} s, longest {first[-1]:.3f} s",
        flush=True,
    )


def main() -> None:
    """Start everything and measure."""
    options = parse()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        scratch = Path(name)
        flags = ("--kv-cache-tokens", str(options.kv_cache_tokens))
        replicas = [
            stack.enter_context(serving(options.model, scratch / f"{index}.log", {}, *flags))
            for index in range(options.replicas)
        ]
        print(f"{len(replicas)} replicas, load average {os.getloadavg()[0]:.1f}", flush=True)
        for number in range(options.rounds):
            for policy in POLICIES:
                measure(options, replicas, policy, number, scratch / "router.log")
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


def measure(
    options: argparse.Namespace, replicas: list[Server], policy: str, number: int, log: Path
) -> None:
    """Start a router with one policy and hold the conversations of one round."""
    command = [str(Path(sys.executable).with_name("radixloom")), "route", "--policy", policy]
    command += [part for replica in replicas for part in ("--backend", replica.url)]
    with running(command, log, {}) as router:
        began = time.perf_counter()
        turns = asyncio.run(converse(router, options, f"{options.seed} {policy} {number}"))
        report(policy, turns, time.perf_counter() - began)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2, help="of each policy")
    parser.add_argument("--conversations", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=4, help="requests that run at once")
    parser.add_argument("--kv-cache-tokens", type=int, default=8192, help="of each replica")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    return parser.parse_args()


if __name__ == "__main__":
    main()
