"""Serve the demo model under several loads, and say how near the speed of memory it is.

    python bench/workloads.py "$(radixloom fetch demo)" [--rounds 3]

Starts `radixloom serve` itself: with an empty compile cache, then with a full one, then without a
prefix cache. Each load is sent by `radixloom bench`; the best of the rounds counts, since
others may use the machine. The bound of a single stream is the speed at which this machine reads
memory, measured here, over the bytes of the weights.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from running_server import Server, resident_bytes, serving

LOADS: dict[str, tuple[str, ...]] = {
    "1 stream, 128 in, 128 out": (
        *("--num-prompts", "2", "--max-concurrency", "1"),
        *("--input-tokens", "128", "--output-tokens", "128"),
    ),
    "16 streams, 128 in, 64 out": (
        *("--num-prompts", "16", "--input-tokens", "128", "--output-tokens", "64"),
    ),
    "4 prompts of 1024 at once": (
        *("--num-prompts", "4", "--input-tokens", "1024", "--output-tokens", "1"),
    ),
}
SHARED = (
    *("--dataset", "shared-prefix", "--num-prompts", "16", "--prefix-tokens", "512"),
    *("--input-tokens", "16", "--output-tokens", "32"),
)
_FLOAT32_BYTES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bound = read_bytes_per_second() / weights_bytes(options.model)
    print(f"memory's bound of one stream in float32: {bound:.1f} tokens/s")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        start = {"RADIXLOOM_COMPILE_CACHE_DIR": str(folder / "compile")}
        with serving(options.model, folder / "cold.log", start) as server:
            report_start("cold", server)
        with serving(options.model, folder / "warm.log", start) as server:
            report_start("warm", server)
            report_loads(server, options.rounds, bound)
            with_cache = best(server, SHARED, options.rounds, "16 streams, shared prefix of 512")
        with serving(options.model, folder / "plain.log", start, "--no-prefix-cache") as server:
            without = best(server, SHARED, options.rounds, "the same without prefix cache")
    ratio = without["median_ttft_ms"] / with_cache["median_ttft_ms"]
    print(f"shared prefix, median TTFT: {ratio:.1f} times better with the cache")


def report_start(name: str, server: Server) -> None:
    memory = sum(resident_bytes(server.process_id).values())
    print(f"{name} start: ready after {server.ready_seconds:.1f} s, RSS {memory / 2**20:.0f} MiB")


def report_loads(server: Server, rounds: int, bound: float) -> None:
    for name, flags in LOADS.items():
        result = best(server, flags, rounds, name)
        if name.startswith("1 stream"):
            decode = 1000 / result["median_itl_ms"]
            print(f"    between tokens {decode:.1f} tokens/s: {decode / bound:.0%} of the bound")


def best(server: Server, flags: tuple[str, ...], rounds: int, name: str) -> dict[str, Any]:
    """Send a load several times, with other prompts each, and keep the fastest."""
    first = zlib.crc32(name.encode())  # no load finds another's prompts in the cache
    results = [one_round(server, flags, first + round_) for round_ in range(rounds)]
    fastest = min(results, key=lambda result: result["duration"])
    print(
        f"{name}: {fastest['output_throughput']:.1f} output tokens/s,"
        f" {fastest['total_throughput']:.0f} in all; TTFT {fastest['median_ttft_ms']:.0f} ms,"
        f" ITL {fastest['median_itl_ms']:.1f} ms (medians);"
        f" cache hits {fastest['cache_hit_rate']:.0%}",
        flush=True,
    )
    return fastest


def one_round(server: Server, flags: tuple[str, ...], seed: int) -> dict[str, Any]:
    program = str(Path(sys.executable).with_name("radixloom"))
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as output:
        command = [program, "bench", "--url", f"{server.url}/v1", *flags, "--seed", str(seed)]
        subprocess.run(
            [*command, "--output", output.name], check=True, capture_output=True, timeout=600
        )
        return json.loads(output.read())


def weights_bytes(folder: Path) -> int:
    """Bytes of the checkpoint's numbers in float32, whatever they are stored in."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
        total += sum(int(np.prod(shape)) for shape in shapes) * _FLOAT32_BYTES
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
