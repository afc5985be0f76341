"""Figures that can be computed by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.commands.bench import report
from radixloom_runtime.commands.bench.client import Answer, Arrival, Failure
from radixloom_runtime.commands.bench.load import Load, Measured

LOAD = Load(
    address="http://host/v1",
    model="tiny",
    output_tokens=3,
    requests_per_second=math.inf,
    max_concurrency=None,
    seed=0,
)
# Sent at 0.0; tokens at 0.2, then one at 0.3, then two together at 0.7.
FIRST = Answer(
    sent_seconds=0.0,
    ended_seconds=0.7,
    arrivals=(Arrival(0.2, 1), Arrival(0.3, 1), Arrival(0.7, 2)),
    prompt_tokens=10,
    cached_tokens=8,
)
# Sent at 1.0; its only token at 1.5.
SECOND = Answer(
    sent_seconds=1.0,
    ended_seconds=1.5,
    arrivals=(Arrival(1.5, 1),),
    prompt_tokens=10,
    cached_tokens=0,
)
MEASURED = Measured(seconds=2.0, answers=(FIRST, SECOND), failures=(Failure("HTTP 500: no"),))

PRINTED_IN_ORDER = """\
Serving Benchmark Result
Backend:
Traffic request rate:
Max request concurrency:
Successful requests:
Benchmark duration (s):
Total input tokens:
Total generated tokens:
Total cached tokens:
Cache hit rate:
Request throughput (req/s):
Input token throughput (tok/s):
Output token throughput (tok/s):
Peak output token throughput (tok/s):
Total token throughput (tok/s):
Concurrency:
Mean E2E Latency (ms):
Median E2E Latency (ms):
P90 E2E Latency (ms):
P99 E2E Latency (ms):
Mean TTFT (ms):
Median TTFT (ms):
P99 TTFT (ms):
Mean TPOT (ms):
Median TPOT (ms):
P99 TPOT (ms):
Mean ITL (ms):
Median ITL (ms):
P95 ITL (ms):
P99 ITL (ms):
Max ITL (ms):"""

KEYS = {
    "duration", "completed", "total_input_tokens", "total_output_tokens", "total_cached_tokens",
    "cache_hit_rate", "request_throughput", "input_throughput", "output_throughput",
    "total_throughput", "concurrency", "max_output_tokens_per_s",
    *(f"{s}_e2e_latency_ms" for s in ("mean", "median", "std", "p90", "p99")),
    *(f"{s}_{n}_ms" for s in ("mean", "median", "std", "p99") for n in ("ttft", "tpot")),
    *(f"{s}_itl_ms" for s in ("mean", "median", "std", "p95", "p99")),
}  # fmt: skip


@pytest.fixture
def results() -> report.Results:
    return report.summarize(MEASURED)


def test_totals_and_throughput(results: report.Results):
    assert (results["completed"], results["failed"]) == (2, 1)
    assert results["total_input_tokens"] == 20
    assert results["total_output_tokens"] == 5
    assert results["total_cached_tokens"] == 8
    assert results["cache_hit_rate"] == pytest.approx(0.4)
    assert results["request_throughput"] == pytest.approx(1.0)
    assert results["output_throughput"] == pytest.approx(2.5)
    assert results["total_throughput"] == pytest.approx(12.5)
    assert results["max_output_tokens_per_s"] == 4
    assert results["concurrency"] == pytest.approx(0.6)


def test_latencies(results: report.Results):
    assert results["mean_ttft_ms"] == pytest.approx(350)
    assert results["mean_e2e_latency_ms"] == pytest.approx(600)
    assert results["p90_e2e_latency_ms"] == pytest.approx(680)
    assert results["mean_tpot_ms"] == pytest.approx(500 / 3)


def test_tokens_that_came_together_share_the_wait(results: report.Results):
    assert FIRST.token_gaps() == pytest.approx([0.1, 0.2, 0.2])
    assert results["mean_itl_ms"] == pytest.approx(500 / 3)
    assert results["max_itl_ms"] == pytest.approx(200)


def test_the_table_has_the_known_names_in_the_known_order(results: report.Results):
    table = report.table(results, LOAD)
    positions = [table.index(name) for name in PRINTED_IN_ORDER.splitlines()]
    assert positions == sorted(positions)
    assert table.splitlines()[0].strip("=") == " Serving Benchmark Result "
    assert "Traffic request rate:                    inf" in table


def test_the_line_of_json_has_the_known_keys(results: report.Results, tmp_path: Path):
    path = tmp_path / "results.jsonl"
    report.append(path, results, {"dataset_name": "random"})
    report.append(path, results, {"dataset_name": "shared-prefix"})
    first, second = map(json.loads, path.read_text().splitlines())
    assert set(first) >= KEYS
    assert (first["dataset_name"], second["dataset_name"]) == ("random", "shared-prefix")


def test_nothing_answered_gives_zeros_and_not_an_error():
    results = report.summarize(Measured(1.0, (), (Failure("gone"),)))
    assert results["completed"] == results["mean_ttft_ms"] == results["output_throughput"] == 0
    report.table(results, LOAD)


def test_failures_are_counted_by_reason():
    failures = [Failure("HTTP 500: no")] * 3 + [Failure("gone")]
    assert report.failure_lines(failures) == [
        "4 requests failed:",
        "  3 times: HTTP 500: no",
        "  1 times: gone",
    ]
    assert report.failure_lines([]) == []


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_percentiles_are_exact(seconds: list[float]):
    figures = report._milliseconds("x", seconds)
    expected = np.quantile(np.array(seconds) * 1000, [0.5, 0.9, 0.95, 0.99])
    found = [figures[f"{name}_x_ms"] for name in ("median", "p90", "p95", "p99")]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
