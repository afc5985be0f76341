"""Show that batching and the prefix cache change no answer, and that the cache is used.

    radixloom serve --model "$(radixloom fetch demo)" &
    python bench/shared_prefix.py --url http://127.0.0.1:8000

64 prompts begin with the same 512 tokens, which the server has not seen, and go on differently.

    together   all at once, streamed; the prefix must be computed about once: hit rate >= 85 %
    alone      the same prompts one after the other
    uncached   some of them with prompt logprobs, for which a server must read no cached prefix

The answers of all three must be the same, and nothing may be compiled meanwhile. Half of the
requests are greedy, half are sampled with a seed of their own.
"""

import argparse
import asyncio
import random
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
from running_server import api_base, wait_for_model
from streaming import Answer, golden_prompts, request, stream, text_of_length

NUM_REQUESTS, PREFIX_TOKENS, OUTPUT_TOKENS = 64, 512, 32
LEAST_HIT_RATE = 0.85
UNCACHED_CHECKS = 8
COUNTERS = {
    "prompt": "radixloom_prompt_tokens_total",
    "cached": "radixloom_cached_prompt_tokens_total",
    "compiles": "radixloom_compiles_after_warmup_total",
}
STATS_SECONDS = 6.0
"""An idle engine reports its counters every few seconds."""


def requests(model: str, seed: int) -> list[dict[str, Any]]:
    """Make the requests: a common start, then the ends of two golden prompts, all different."""
    draws = random.Random(seed)
    prefix, texts = text_of_length(draws, PREFIX_TOKENS), golden_prompts()
    ends = draws.sample([(one, other) for one in texts for other in texts], NUM_REQUESTS)
    return [
        request(model, prefix + one[-12:] + other, OUTPUT_TOKENS) | _sampling(index)
        for index, (one, other) in enumerate(ends)
    ]


def _sampling(index: int) -> dict[str, Any]:
    return {"temperature": 0.8, "seed": index} if index % 2 else {"temperature": 0}


async def uncached(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, ...]:
    """Ask in the one way for which the prefix cache is not read."""
    response = await client.post("completions", json={**body, "echo": True, "logprobs": 0})
    return tuple(response.raise_for_status().json()["choices"][0]["token_ids"])


async def counters(client: httpx.AsyncClient) -> dict[str, float]:
    """Read the counters of /metrics."""
    metrics = str(client.base_url.copy_with(path="/metrics"))
    text = (await client.get(metrics)).raise_for_status().text
    found = {
        name: re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
        for name, metric in COUNTERS.items()
    }
    return {name: float(match[1]) for name, match in found.items() if match}


async def settled_counters(client: httpx.AsyncClient) -> dict[str, float]:
    """Read the counters once the engine has reported its last steps."""
    await asyncio.sleep(STATS_SECONDS)
    return await counters(client)


def differing(title: str, wanted: Sequence[tuple[int, ...]], found: Sequence[Answer]) -> list[str]:
    """Name the answers that differ, and where."""
    return [
        f"{title}: request {index} differs from step {_first_difference(one, other.token_ids)} on"
        for index, (one, other) in enumerate(zip(wanted, found, strict=False))
        if one != other.token_ids
    ]


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    equal = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    return min(len(one), len(other)) if equal is None else equal


async def measure(url: str, seed: int) -> list[str]:
    """Run the three passes, print what they took, and list what is wrong."""
    model = wait_for_model(url)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=api_base(url), timeout=600, limits=limits) as client:
        bodies = requests(model, seed)
        before = await settled_counters(client)
        began = time.perf_counter()
        together = await asyncio.gather(*(stream(client, body) for body in bodies))
        together_seconds = time.perf_counter() - began
        after = await settled_counters(client)
        began = time.perf_counter()
        alone = [await stream(client, body) for body in bodies]
        alone_seconds = time.perf_counter() - began
        cold = [await uncached(client, body) for body in bodies[:UNCACHED_CHECKS]]
        last = await settled_counters(client)
    delta = {name: after[name] - before[name] for name in after}
    hit_rate = delta["cached"] / delta["prompt"]
    compiles = last["compiles"] - before["compiles"]
    _print_pass("together", together, together_seconds)
    _print_pass("alone", alone, alone_seconds)
    print(f"prefix hit rate together: {hit_rate:.1%} (wanted {LEAST_HIT_RATE:.0%})")
    print(f"compiles after warm-up: {compiles:.0f} (in all: {last['compiles']:.0f})")
    problems = differing("alone", [answer.token_ids for answer in together], alone)
    problems += differing("uncached", cold, together)
    if hit_rate < LEAST_HIT_RATE:
        problems.append(f"the prefix hit rate is {hit_rate:.1%}, wanted {LEAST_HIT_RATE:.0%}")
    if last["compiles"]:
        problems.append(f"{last['compiles']:.0f} compiles after warm-up, wanted none")
    return problems


def _print_pass(title: str, answers: Sequence[Answer], seconds: float) -> None:
    tokens = sum(len(answer.token_ids) for answer in answers)
    first = sorted(answer.first_seconds for answer in answers)
    print(
        f"{title:>8}: {len(answers)} answers in {seconds:.1f} s, {tokens / seconds:.0f} tokens/s,"
        f" TTFT median {first[len(first) // 2]:.2f} s, longest {first[-1]:.2f} s"
    )


def main() -> int:
    """Measure; exit code 1 when an answer differs, the cache was not used, or a step compiled."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="Default: %(default)s.")
    parser.add_argument(
        "--seed",
        type=int,
        default=time.time_ns(),
        help="Draws the prompts. Default: the clock, so that no earlier run has cached them.",
    )
    arguments = parser.parse_args()
    problems = asyncio.run(measure(arguments.url, arguments.seed))
    print("\n".join(problems) or f"all {NUM_REQUESTS} answers are equal in every pass")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
