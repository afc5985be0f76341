"""From timed answers to the figures that serving benchmarks print, by the names that they use.

TTFT  time to the first token: from sending to the first piece of the answer
TPOT  time per output token after the first: (latency - TTFT) / (tokens - 1), one per request
ITL   time between two tokens: one per token, over all requests
E2E   latency of a whole request
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radixloom_runtime.commands.bench.client import Answer, Failure
from radixloom_runtime.commands.bench.load import Load, Measured

Results = dict[str, float]

TITLE = "Serving Benchmark Result"
WIDTH, LABEL_WIDTH = 50, 40
REASONS_SHOWN = 5

_ROWS: tuple[tuple[str, str], ...] = (
    ("Successful requests:", "completed"),
    ("Benchmark duration (s):", "duration"),
    ("Total input tokens:", "total_input_tokens"),
    ("Total generated tokens:", "total_output_tokens"),
    ("Total cached tokens:", "total_cached_tokens"),
    ("Cache hit rate:", "cache_hit_rate"),
    ("Request throughput (req/s):", "request_throughput"),
    ("Input token throughput (tok/s):", "input_throughput"),
    ("Output token throughput (tok/s):", "output_throughput"),
    ("Peak output token throughput (tok/s):", "max_output_tokens_per_s"),
    ("Total token throughput (tok/s):", "total_throughput"),
    ("Concurrency:", "concurrency"),
)
_LATENCY_ROWS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("End-to-End Latency", "E2E Latency", "e2e_latency", ("mean", "median", "p90", "p99")),
    ("Time to First Token", "TTFT", "ttft", ("mean", "median", "p99")),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot", ("mean", "median", "p99")),
    ("Inter-Token Latency", "ITL", "itl", ("mean", "median", "p95", "p99", "max")),
)


def summarize(measured: Measured) -> Results:
    """Compute every figure; without a single answer they are all zero."""
    answers, seconds = measured.answers, max(measured.seconds, 1e-9)
    input_tokens = sum(answer.prompt_tokens for answer in answers)
    output_tokens = sum(answer.output_tokens for answer in answers)
    cached_tokens = sum(answer.cached_tokens for answer in answers)
    return {
        "duration": measured.seconds,
        "completed": len(answers),
        "failed": len(measured.failures),
        "total_input_tokens": input_tokens,
        "total_output_tokens": output_tokens,
        "total_cached_tokens": cached_tokens,
        "cache_hit_rate": cached_tokens / input_tokens if input_tokens else 0.0,
        "request_throughput": len(answers) / seconds,
        "input_throughput": input_tokens / seconds,
        "output_throughput": output_tokens / seconds,
        "total_throughput": (input_tokens + output_tokens) / seconds,
        "max_output_tokens_per_s": busiest_second(answers),
        "concurrency": sum(answer.latency_seconds for answer in answers) / seconds,
        **_milliseconds("e2e_latency", (answer.latency_seconds for answer in answers)),
        **_milliseconds("ttft", (answer.first_token_seconds for answer in answers)),
        **_milliseconds("tpot", _seconds_per_token(answers)),
        **_milliseconds("itl", (gap for answer in answers for gap in answer.token_gaps())),
    }


def _seconds_per_token(answers: Iterable[Answer]) -> Iterable[float]:
    for answer in answers:
        if answer.output_tokens > 1:
            after_first = answer.latency_seconds - answer.first_token_seconds
            yield after_first / (answer.output_tokens - 1)


def busiest_second(answers: Iterable[Answer]) -> int:
    """Count the tokens of the whole second, from the measurement's start, that brought most."""
    tokens: Counter[int] = Counter()
    for answer in answers:
        for arrival in answer.arrivals:
            tokens[math.floor(arrival.seconds)] += arrival.num_tokens
    return max(tokens.values(), default=0)


def _milliseconds(name: str, seconds: Iterable[float]) -> Results:
    """Give the statistics of a sample; percentiles are exact, with linear interpolation."""
    sample = np.fromiter(seconds, dtype=np.float64) * 1000
    sample = sample if sample.size else np.zeros(1)
    statistics = {
        "mean": sample.mean(),
        "median": np.median(sample),
        "std": sample.std(),
        "max": sample.max(),
        **{f"p{share}": np.percentile(sample, share) for share in (90, 95, 99)},
    }
    return {f"{statistic}_{name}_ms": float(value) for statistic, value in statistics.items()}


def table(results: Results, load: Load) -> str:
    """Lay the figures out as users of serving benchmarks know them."""
    limit = load.max_concurrency or "not set"
    lines = [
        f"{f' {TITLE} ':=^{WIDTH}}",
        _row("Backend:", "radixloom"),
        _row("Traffic request rate:", load.requests_per_second),
        _row("Max request concurrency:", limit),
        *(_row(label, results[key]) for label, key in _ROWS),
    ]
    for heading, short, name, statistics in _LATENCY_ROWS:
        lines.append(f"{heading:-^{WIDTH}}")
        lines += [
            _row(f"{statistic.capitalize()} {short} (ms):", results[f"{statistic}_{name}_ms"])
            for statistic in statistics
        ]
    return "\n".join([*lines, "=" * WIDTH])


def _row(label: str, value: object) -> str:
    text = f"{value:.2f}" if isinstance(value, float) and math.isfinite(value) else str(value)
    return f"{label:<{LABEL_WIDTH}} {text:<10}".rstrip()


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Name the reasons of failures, the most frequent first."""
    if not failures:
        return []
    reasons = Counter(failure.reason for failure in failures)
    shown = [f"  {count} times: {reason}" for reason, count in reasons.most_common(REASONS_SHOWN)]
    return [f"{len(failures)} requests failed:", *shown]


def show(results: Results, load: Load, failures: Sequence[Failure]) -> None:
    """Print the table, and on stderr what failed."""
    sys.stdout.write(table(results, load) + "\n")
    sys.stdout.flush()
    for line in failure_lines(failures):
        sys.stderr.write(line + "\n")


def append(path: Path, results: Results, settings: dict[str, Any]) -> None:
    """Add one line to a file of results: what was measured, then the figures."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**settings, **results}) + "\n")
