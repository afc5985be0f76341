"""Host work of one step: `plan` and `commit` while requests decode, without any device.

    .venv/bin/python bench/scheduler_step.py [--rows 64] [--prompt-tokens 512] [--steps 200]

Prints microseconds per step (median and 99th percentile) for decoding rows, for the same with
logprobs, and for admitting as many requests that share their prompt's start.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.wire.messages import Submit
from radixloom_runtime.wire.plan import ChunkResult, Limits, StepPlan, StepResult, Top

TOP = Top(np.arange(20, dtype=np.int32), np.zeros(20, np.float32))


def result_of(plan: StepPlan) -> StepResult:
    """Answer every sampling chunk with the same token."""
    sampled, nothing = ChunkResult(7, -1.0, TOP), ChunkResult(None)
    return StepResult(plan.number, tuple(sampled if c.samples else nothing for c in plan.chunks))


class Engine:
    """Turns as the engine does, timing the scheduler alone."""

    def __init__(self, limits: Limits) -> None:
        self.scheduler = Scheduler(limits, max_queued_requests=10_000)
        self._in_flight: StepPlan | None = None

    def turn(self) -> float:
        """Plan the next step and commit the one before; return the seconds both took."""
        began = time.perf_counter()
        plan = self.scheduler.plan()
        seconds = time.perf_counter() - began
        finished, self._in_flight = self._in_flight, plan
        if finished is None:
            return seconds
        result = result_of(finished)
        began = time.perf_counter()
        self.scheduler.commit(finished, result)
        return seconds + time.perf_counter() - began


def submit_all(engine: Engine, arguments: argparse.Namespace, logprobs: int | None) -> None:
    """Submit as many requests as there are rows, sharing all but the prompt's last 16 tokens."""
    for index in range(arguments.rows):
        engine.scheduler.submit(
            Submit(
                request_id=str(index),
                prompt_ids=[3] * (arguments.prompt_tokens - 16) + [100 + index] * 16,
                max_tokens=arguments.steps + 400,
                logprobs=logprobs,
            )
        )


def report(name: str, seconds: Sequence[float]) -> None:
    """Print one line."""
    ordered = sorted(seconds)
    median, slowest = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:32} median {median * 1e6:8.0f} us   p99 {slowest * 1e6:8.0f} us")


def measure(arguments: argparse.Namespace, name: str, logprobs: int | None) -> None:
    """Time admission and decoding of one batch of requests."""
    limits = Limits(
        num_pages=16_384, page_tokens=16, max_rows=arguments.rows, step_tokens=2048,
        max_model_len=8192,
    )  # fmt: skip
    engine = Engine(limits)
    submit_all(engine, arguments, logprobs)
    admitting = [engine.turn()]
    while engine.scheduler.num_waiting:
        admitting.append(engine.turn())
    for _ in range(10):
        engine.turn()
    report(f"{name}: admit {arguments.rows} requests", [sum(admitting)])
    report(f"{name}: decode {arguments.rows} rows", [engine.turn() for _ in range(arguments.steps)])


def main() -> None:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    measure(arguments, "plain", None)
    measure(arguments, "5 logprobs", 5)


if __name__ == "__main__":
    main()
