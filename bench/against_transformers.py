"""Compare `radixloom serve` with Hugging Face transformers' `generate` on this machine.

    python bench/against_transformers.py --output comparison.md

The same checkpoint in float32, the same prompts of token ids, the same number of greedy tokens, end
of sequence ignored. The two sides take turns (A B A B ...) so that a busy minute hits both; no
prompt is asked twice, so our prefix cache helps nothing here. transformers runs all streams as one
padded batch, which is its best case: every stream starts and ends together.

torch goes to a virtual environment of its own under the cache folder (several gigabytes where only
the CUDA build is to be had; it runs on the CPU either way).
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from running_server import Server, api_base, resident_bytes, serving
from streaming import request, stream, text_of_length

from radixloom_runtime.fetch.store import cache_folder, models_folder

WORKER = Path(__file__).with_name("transformers_generate.py")
STREAMS = (1, 16)
GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Sample:
    """One batch of streams on one side."""

    first_seconds: float
    tokens_per_second: float
    token_ids: tuple[tuple[int, ...], ...]


class Transformers:
    """The worker process with torch."""

    def __init__(self, process: "subprocess.Popen[str]", began: float) -> None:
        self._process = process
        self.about = self._read()
        self.ready_seconds = time.monotonic() - began

    def generate(self, prompts: Sequence[list[int]], output_tokens: int) -> Sample:
        """Run one batch."""
        assert self._process.stdin is not None
        job = {"prompts": prompts, "output_tokens": output_tokens}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        done = self._read()
        speed = len(prompts) * output_tokens / done["seconds"]
        return Sample(done["first_seconds"], speed, tuple(map(tuple, done["token_ids"])))

    def resident_bytes(self) -> int:
        """Measure its memory."""
        return sum(resident_bytes(self._process.pid).values())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else sys.exit("the process with torch ended; see its log")


@contextmanager
def transformers_process(python: Path, folder: Path, log: Path) -> Generator[Transformers]:
    """Run the worker until the block ends."""
    began = time.monotonic()
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [python, WORKER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Transformers(process, began)


def torch_python() -> Path:
    """Give the Python of an environment with torch and transformers, made if it is not there."""
    folder = cache_folder() / "bench" / "transformers-venv"
    python = folder / "bin" / "python"
    check = [python, "-c", "import torch, transformers"]
    if python.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0:
        return python
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    print(f"making {folder} with torch and transformers (minutes, gigabytes)", file=sys.stderr)
    subprocess.run([uv, "venv", "--clear", "--python", sys.executable, folder], check=True)
    install = [uv, "pip", "install", "--python", folder]
    subprocess.run([*install, "torch", "transformers"], check=True)
    return python


def ask_radixloom(server: Server, prompts: Sequence[list[int]], output_tokens: int) -> Sample:
    """Stream all prompts at once."""
    return asyncio.run(_ask(server, prompts, output_tokens))


async def _ask(server: Server, prompts: Sequence[list[int]], output_tokens: int) -> Sample:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=api_base(server.url), timeout=600, limits=limits
    ) as client:
        bodies = [request(server.model, prompt, output_tokens) for prompt in prompts]
        began = time.perf_counter()
        answers = await asyncio.gather(*(stream(client, body) for body in bodies))
        seconds = time.perf_counter() - began
    return Sample(
        first_seconds=statistics.fmean(answer.first_seconds for answer in answers),
        tokens_per_second=len(prompts) * output_tokens / seconds,
        token_ids=tuple(answer.token_ids for answer in answers),
    )


@dataclass(frozen=True, slots=True)
class Rounds:
    """All samples of both sides for one number of streams."""

    streams: int
    ours: list[Sample]
    theirs: list[Sample]

    def equal_answers(self) -> tuple[int, int]:
        """Count the answers whose ids are the same on both sides, and all answers."""
        pairs = [
            pair
            for one, other in zip(self.ours, self.theirs, strict=True)
            for pair in zip(one.token_ids, other.token_ids, strict=True)
        ]
        return sum(one == other for one, other in pairs), len(pairs)


def measure(
    server: Server, transformers: Transformers, arguments: argparse.Namespace
) -> list[Rounds]:
    """Let both sides take turns on prompts that neither has seen."""
    draws = random.Random(arguments.seed)
    results: list[Rounds] = []
    for streams in STREAMS:
        rounds = Rounds(streams, [], [])
        for number in range(arguments.rounds + 1):
            prompts = [text_of_length(draws, arguments.prompt_tokens) for _ in range(streams)]
            prompts = [[*draws.sample(range(1000, 10_000), 4), *ids[4:]] for ids in prompts]
            ours = ask_radixloom(server, prompts, arguments.output_tokens)
            theirs = transformers.generate(prompts, arguments.output_tokens)
            print(_progress(streams, number, ours, theirs), file=sys.stderr)
            if number:  # the first round warms both sides up
                rounds.ours.append(ours)
                rounds.theirs.append(theirs)
        results.append(rounds)
    return results


def _progress(streams: int, number: int, ours: Sample, theirs: Sample) -> str:
    name = f"round {number}" if number else "warm-up"
    return (
        f"{streams} streams, {name}: radixloom {ours.tokens_per_second:.1f} tokens/s,"
        f" transformers {theirs.tokens_per_second:.1f} tokens/s"
    )


def cold_start(folder: Path, scratch: Path) -> float:
    """Time a start with an empty compilation cache; leaves the cache filled."""
    with serving(folder, scratch / "cold.log", _environment(scratch)) as server:
        return server.ready_seconds


def _environment(scratch: Path) -> dict[str, str]:
    return {"RADIXLOOM_COMPILE_CACHE_DIR": str(scratch / "compile")}


def markdown(
    results: Sequence[Rounds], figures: Sequence[tuple[str, str, str]], conditions: Sequence[str]
) -> str:
    """Lay out the comparison: conditions first, then the table."""
    lines = [f"- {condition}" for condition in conditions]
    lines += ["", "| | radixloom | transformers |", "|---|---:|---:|"]
    lines += [f"| {name} | {ours} | {theirs} |" for name, ours, theirs in figures]
    for rounds in results:
        ours_first, theirs_first = _medians(rounds, "first_seconds")
        ours_speed, theirs_speed = _medians(rounds, "tokens_per_second")
        label = f"{rounds.streams} stream" + ("s" if rounds.streams > 1 else "")
        lines += [
            (
                f"| {label}: TTFT, mean of streams (ms)"
                f" | {ours_first * 1000:.0f} | {theirs_first * 1000:.0f} |"
            ),
            f"| {label}: output tokens/s | {ours_speed:.1f} | {theirs_speed:.1f} |",
        ]
        equal, answers = rounds.equal_answers()
        lines.append(f"| {label}: answers with the same ids | {equal} of {answers} | |")
    return "\n".join(lines) + "\n"


def _medians(rounds: Rounds, name: str) -> tuple[float, float]:
    ours = statistics.median(getattr(sample, name) for sample in rounds.ours)
    theirs = statistics.median(getattr(sample, name) for sample in rounds.theirs)
    return ours, theirs


def _conditions(arguments: argparse.Namespace, about: dict[str, Any], load: str) -> list[str]:
    return [
        (
            f"{_processor()}, {os.cpu_count()} cores; load average before {load},"
            f" after {_load_average()}"
        ),
        (
            f"radixloom {version('radixloom')}, jax {version('jax')}, Python"
            f" {platform.python_version()}; transformers {about['transformers']} on torch"
            f" {about['torch']} ({about['attention']} attention, {about['threads']} threads)"
        ),
        (
            f"model {arguments.model.name}, float32 on both sides; {arguments.prompt_tokens} prompt"
            f" and {arguments.output_tokens} greedy output tokens a stream; no prompt asked twice"
        ),
        (
            f"sides take turns; medians of {arguments.rounds} rounds after one that is not counted;"
            " transformers runs all streams as one batch"
        ),
        (
            "start: from launching the command to the first answer of its API; cold: empty"
            " compilation cache, weights in the page cache"
        ),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=models_folder() / "smollm2-135m-instruct",
        help="Default: %(default)s.",
    )
    parser.add_argument("--prompt-tokens", type=int, default=128, help="Default: %(default)s.")
    parser.add_argument("--output-tokens", type=int, default=64, help="Default: %(default)s.")
    parser.add_argument("--rounds", type=int, default=3, help="Default: %(default)s.")
    parser.add_argument("--seed", type=int, default=0, help="Default: %(default)s.")
    parser.add_argument("--output", type=Path, help="Write the Markdown there as well.")
    return parser


def main() -> int:
    """Measure and print."""
    arguments = _parser().parse_args()
    python, load = torch_python(), _load_average()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        cold_seconds = cold_start(arguments.model, scratch)
        with (
            serving(arguments.model, scratch / "warm.log", _environment(scratch)) as server,
            transformers_process(python, arguments.model, scratch / "torch.log") as transformers,
        ):
            results = measure(server, transformers, arguments)
            memory = resident_bytes(server.process_id)
            front, engine = memory.pop(server.process_id), sum(memory.values())
            resident = f"{(front + engine) / GIBIBYTE:.2f} (HTTP {front / GIBIBYTE:.2f})"
            figures = [
                ("start to ready, cold (s)", f"{cold_seconds:.1f}", ""),
                (
                    "start to ready, warm (s)",
                    f"{server.ready_seconds:.1f}",
                    f"{transformers.ready_seconds:.1f}",
                ),
                (
                    "resident memory (GiB)",
                    resident,
                    f"{transformers.resident_bytes() / GIBIBYTE:.2f}",
                ),
            ]
            conditions = _conditions(arguments, transformers.about, load)
    text = markdown(results, figures, conditions)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
