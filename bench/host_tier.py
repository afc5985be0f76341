"""Ask again for a long prompt that was evicted from the device: restored from host memory, or not.

    python bench/host_tier.py "$(radixloom fetch demo)" [--prompt-tokens 2048] [--rounds 3]

A server is started whose KV cache holds two such prompts, beside a host tier that holds many. Each
round asks for four new prompts, one after the other (each is computed), and then for all of them
again: the first two were evicted by then, and come from host memory. The times are those to the
first token; that a prompt was restored is seen in its cached tokens, which the script checks.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

import httpx
from running_server import Server, api_base, serving
from streaming import Answer, request, stream

from radixloom_runtime.commands.bench import dataset

HELD, ASKED = 2, 4
PAGE_TOKENS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompt-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tokens = options.prompt_tokens
    room = HELD * tokens + tokens // 2
    flags = ("--kv-cache-tokens", str(room), "--host-cache-gb", "4")
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(options.model, Path(scratch) / "server.log", {}, *flags) as server,
    ):
        rounds = [asyncio.run(ask_twice(server, tokens, seed)) for seed in range(options.rounds)]
    computed = [answer for first, _ in rounds for answer in first]
    restored = [answer for _, again in rounds for answer in again]
    if any(answer.cached_tokens for answer in computed):
        sys.exit("a new prompt was found in the cache")
    if any(answer.cached_tokens < tokens - PAGE_TOKENS for answer in restored):
        found = [answer.cached_tokens for answer in restored]
        sys.exit(f"wanted {tokens} tokens from host memory, found {found} cached")
    print(f"prompts of {tokens} tokens, TTFT in ms (median of {len(restored)} or more)")
    slow, fast = median_ms(computed), median_ms(restored)
    print(f"computed {slow:.0f}, restored from host memory {fast:.0f}: {slow / fast:.1f} times")


async def ask_twice(server: Server, tokens: int, seed: int) -> tuple[list[Answer], list[Answer]]:
    """Ask for new prompts, then again for those of them that the device no longer holds."""
    prompts = dataset.make(
        dataset.Prompts(ASKED, tokens, 0, dataset.DEFAULT_VOCAB_SIZE, seed=(seed, 0))
    )
    async with httpx.AsyncClient(base_url=api_base(server.url), timeout=600) as client:
        bodies = [request(server.model, prompt, 1) for prompt in prompts]
        first = [await stream(client, body) for body in bodies]
        return first, [await stream(client, body) for body in bodies[: ASKED - HELD]]


def median_ms(answers: list[Answer]) -> float:
    return 1000 * statistics.median(answer.first_seconds for answer in answers)


if __name__ == "__main__":
    main()
