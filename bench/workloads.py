"""Serve a model under several loads, beside other engines, and say how near memory's speed it is.

    python bench/workloads.py "$(radixloom fetch demo)" [--rounds 2] [--starts] [--dtype bfloat16]
        [--also=--quantization=int8] [--peers vllm transformers llama.cpp]

Sides take turns (A B C A B C ...) on the same prompts, so that a busy minute hits all of them, and
the fastest round of each counts. No side is asked a prompt twice but for the prefix that prompts
share. `--also` is another server of ours with these flags (joined by spaces); `peers` says what
stands beside it. The bound of a single stream is the speed at which this machine reads memory,
measured here, over the bytes of the weights.
"""

import argparse
import json
import os
import platform
import random
import tempfile
import threading
import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from loads import LOADS, SHARED, HttpSide, Load, Result, Side
from numpy.typing import NDArray
from peers import PEERS, peer
from running_server import serving
from streaming import text_of_length

BYTES_OF = {"float32": 4, "bfloat16": 2}
_MIB = 2**20


def main() -> None:
    options = parse()
    print(conditions(options.model, options.dtype))
    bound = read_bytes_per_second() / weights_bytes(options.model, BYTES_OF[options.dtype])
    print(f"memory's bound of one stream in {options.dtype}: {bound:.1f} tokens/s")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.starts:
            measure_starts(options.model, scratch)
        with all_sides(options, scratch) as sides:
            tell_memory_and_answers(sides)
            with_cache = [take_turns(load, sides, options.rounds) for load in (*LOADS, SHARED)][-1]
            ours = with_cache[sides[0].name]
        flags = ("--dtype", options.dtype, "--no-prefix-cache")
        with serving(options.model, scratch / "plain.log", {}, *flags) as server:
            side = HttpSide("radixloom --no-prefix-cache", server)
            without = take_turns(SHARED, [side], options.rounds)[side.name]
    ratio = without.first_ms / ours.first_ms
    print(f"shared prefix, median TTFT: {ratio:.1f} times better with the cache")
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", choices=tuple(BYTES_OF), default="float32", help="of all sides")
    parser.add_argument("--starts", action="store_true", help="time a cold and a warm start first")
    parser.add_argument("--also", action="append", default=[], metavar="FLAGS")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[])
    return parser.parse_args()


def conditions(folder: Path, dtype: str) -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{folder.name} in {dtype}; {models[0] if models else platform.machine()}, {cores} cores,"
        f" load average {os.getloadavg()[0]:.1f}; radixloom {version('radixloom')},"
        f" jax {version('jax')}, Python {platform.python_version()}"
    )


def measure_starts(folder: Path, scratch: Path) -> None:
    """Start with an empty compile cache, then with the one that this leaves."""
    environment = {"RADIXLOOM_COMPILE_CACHE_DIR": str(scratch / "compile")}
    for name in ("cold", "warm"):
        with serving(folder, scratch / f"{name}.log", environment) as server:
            memory = HttpSide(name, server).resident_bytes() / _MIB
            print(f"{name} start: ready after {server.ready_seconds:.1f} s, RSS {memory:.0f} MiB")


@contextmanager
def all_sides(options: argparse.Namespace, scratch: Path) -> Generator[list[Side]]:
    """Run every engine that was asked for; ours is the first."""
    with ExitStack() as stack:
        sides: list[Side] = []
        for index, flags in enumerate(["", *options.also]):
            log = scratch / f"radixloom-{index}.log"
            all_flags = ("--dtype", options.dtype, *flags.split())
            server = stack.enter_context(serving(options.model, log, {}, *all_flags))
            sides.append(HttpSide(f"radixloom {flags}".strip(), server))
        for name in options.peers:
            started = peer(name, options.model, options.dtype, scratch)
            sides.append(stack.enter_context(started))
        yield sides


def tell_memory_and_answers(sides: Sequence[Side], *, prompts: int = 4, tokens: int = 32) -> None:
    """Say how many answers to real text are the same as the first side's."""
    draws = random.Random(0)
    asked = [text_of_length(draws, 128) for _ in range(prompts)]
    wanted = sides[0].ids(asked, tokens)
    for side in sides:
        equal = sum(
            one == other for one, other in zip(wanted, side.ids(asked, tokens), strict=True)
        )
        memory = side.resident_bytes() / _MIB
        print(
            f"{side.name}: RSS {memory:.0f} MiB; {equal} of {prompts} answers as the first side's"
        )


def take_turns(load: Load, sides: Sequence[Side], rounds: int) -> dict[str, Result]:
    """Have every side answer a load several times, with other prompts each; keep the fastest."""
    first = zlib.crc32(load.name.encode())  # no load finds another's prompts in a cache
    results: dict[str, Result] = {}
    for round_ in range(rounds):
        for side in sides:
            result = side.answer(load, first + round_)
            before = results.setdefault(side.name, result)
            if result.total_per_second > before.total_per_second:
                results[side.name] = result
    print(table(load, results), flush=True)
    return results


def table(load: Load, results: dict[str, Result]) -> str:
    """Lay out one load; the ratio is the first side's total speed over the line's."""
    ours = next(iter(results.values()))
    head = f"| {load.name} | output tokens/s | in all | TTFT, ms | between tokens, ms | ours is |"
    lines = ["", head, "|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {it.output_per_second:.1f} | {it.total_per_second:.0f} | {it.first_ms:.0f}"
        f" | {it.between_ms:.1f} | {ours.total_per_second / it.total_per_second:.2f} |"
        for name, it in results.items()
    ]
    return "\n".join(lines)


def weights_bytes(folder: Path, bytes_each: int) -> int:
    """Bytes of the checkpoint's numbers as they are computed with, whatever they are stored in."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
        total += sum(int(np.prod(shape)) for shape in shapes) * bytes_each
    return total


def read_bytes_per_second(passes: int = 3) -> float:
    """Read 512 MiB with a thread for every core; the fastest of several passes."""
    data = np.ones(1 << 27, np.float32)
    parts = np.array_split(data, max(1, len(os.sched_getaffinity(0))))
    return max(data.nbytes / _seconds_to_read(parts) for _ in range(passes))


def _seconds_to_read(parts: list[NDArray[np.float32]]) -> float:
    threads = [threading.Thread(target=part.sum) for part in parts]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
