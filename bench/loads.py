"""The loads that engines are compared under, and what one engine makes of one load.

All prompts are of random ids, the same for the same seed whoever is asked; every answer is greedy
and exactly as long as wanted.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from running_server import Server, api_base, resident_bytes
from streaming import request, stream

from radixloom_runtime.commands.bench import dataset

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Load:
    """Prompts that are sent at once, or so many at a time."""

    name: str
    num_prompts: int
    own_tokens: int
    output_tokens: int
    prefix_tokens: int = 0
    at_a_time: int | None = None

    def prompts(self, seed: int) -> list[Ids]:
        """Draw what `radixloom bench` draws for the same flags."""
        return dataset.make(
            dataset.Prompts(
                num_prompts=self.num_prompts,
                own_tokens=self.own_tokens,
                prefix_tokens=self.prefix_tokens,
                vocab_size=dataset.DEFAULT_VOCAB_SIZE,
                seed=(seed, 0),
            )
        )

    def batches(self, seed: int) -> Iterator[list[Ids]]:
        """Give the prompts that are answered together."""
        prompts, size = self.prompts(seed), self.at_a_time or self.num_prompts
        return (prompts[i : i + size] for i in range(0, len(prompts), size))

    @property
    def flags(self) -> tuple[str, ...]:
        """Say the same to `radixloom bench`."""
        numbers = {
            "--num-prompts": self.num_prompts,
            "--input-tokens": self.own_tokens,
            "--output-tokens": self.output_tokens,
            "--max-concurrency": self.at_a_time or self.num_prompts,
        }
        if self.prefix_tokens:
            numbers["--prefix-tokens"] = self.prefix_tokens
        kind = ("--dataset", dataset.SHARED_PREFIX) if self.prefix_tokens else ()
        return (*kind, *(text for flag, number in numbers.items() for text in (flag, str(number))))


LOADS = (
    Load("1 stream, 128 in, 128 out", 2, own_tokens=128, output_tokens=128, at_a_time=1),
    Load("16 streams, 128 in, 64 out", 16, own_tokens=128, output_tokens=64),
    Load("4 prompts of 1024 at once", 4, own_tokens=1024, output_tokens=1),
)
SHARED = Load(
    "16 streams, shared prefix of 512", 16, own_tokens=16, output_tokens=32, prefix_tokens=512
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine made of a load; times are medians in milliseconds."""

    output_per_second: float
    total_per_second: float
    first_ms: float
    between_ms: float


class Side(Protocol):
    """An engine that is up."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    def answer(self, load: Load, seed: int) -> Result:
        """Answer the load's prompts, drawn by `seed`."""
        ...

    def ids(self, prompts: Sequence[Ids], output_tokens: int) -> list[Ids]:
        """Answer some prompts, and give the answers' ids."""
        ...

    def resident_bytes(self) -> int:
        """Measure the memory of its processes."""
        ...


@dataclass(frozen=True, slots=True)
class HttpSide:
    """A server with OpenAI's API, asked by `radixloom bench`."""

    name: str
    server: Server

    def answer(self, load: Load, seed: int) -> Result:
        """Send the load, after one request that is not measured."""
        program = str(Path(sys.executable).with_name("radixloom"))
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as output:
            command = [program, "bench", "--url", f"{self.server.url}/v1", *load.flags]
            command += ["--seed", str(seed), "--output", output.name]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            found = json.loads(output.read())
        return Result(
            output_per_second=found["output_throughput"],
            total_per_second=found["total_throughput"],
            first_ms=found["median_ttft_ms"],
            between_ms=found["median_itl_ms"],
        )

    def ids(self, prompts: Sequence[Ids], output_tokens: int) -> list[Ids]:
        """Stream all at once."""
        return asyncio.run(self._ids(prompts, output_tokens))

    async def _ids(self, prompts: Sequence[Ids], output_tokens: int) -> list[Ids]:
        base = api_base(self.server.url)
        async with httpx.AsyncClient(base_url=base, timeout=600) as client:
            bodies = [request(self.server.model, prompt, output_tokens) for prompt in prompts]
            answers = await asyncio.gather(*(stream(client, body) for body in bodies))
        return [list(answer.token_ids) for answer in answers]

    def resident_bytes(self) -> int:
        """Measure the server and its children."""
        return sum(resident_bytes(self.server.process_id).values())
