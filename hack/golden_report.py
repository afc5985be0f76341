"""Every family against its reference: `python -m hack.golden_report [NAME ...]`.

    .venv/bin/python -m hack.golden_report                     one device and four, all checkpoints
    .venv/bin/python -m hack.golden_report gemma3-text --tensor-parallel 1 2
    RADIXLOOM_GOLDENS=FOLDER .venv/bin/python -m hack.golden_report      whole goldens instead

Each checkpoint is served by the engine's own scheduler and runner in float32, in a process of its
own: eight prompts at once, cut into chunks, over pages; then all of them again, from the prefix
cache where the model has one. The table says how far the logprobs of the 20 likeliest tokens are
from those of an independent implementation, at the ends of four prompts and at every position of
one, and how many of the greedy continuations are the same, token by token. Where a model cannot
be cut over so many devices, over as many as it can.

Exit code 1 when a checkpoint is not right, or an architecture that is served was not compared.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hack.goldens import EVERYWHERE, NUM_PROMPTS, PROMPTS, TOLERANCE, TOP, folder, golden, names
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_rope import LongScaling
from radixloom_runtime.models.registry import ARCHITECTURES, read_config
from radixloom_runtime.runner.build import build_runner
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Output, Sampling, Submit, TokenLogprobs
from radixloom_runtime.wire.plan import Runner

DEVICES = (1, 4)
SETTINGS = {
    "dtype": "float32",
    "step_tokens": 64,  # so that prompts are cut into chunks
    "max_running_requests": 4,
    "kv_cache_tokens": 4096,
    "page_tokens": 16,
    "warmup": False,  # few buckets are used
}


@dataclass(frozen=True, slots=True)
class Result:
    """One checkpoint on some devices."""

    name: str
    architecture: str
    wanted_devices: int
    devices: int
    largest_difference: float
    """Of a logprob, in nats."""
    num_positions: int
    """At which it was looked for."""
    num_equal: int
    """Greedy continuations that are the reference's; of `num_asked`, cached ones included."""
    num_asked: int
    cached_tokens: int
    problem: str = ""

    @property
    def is_right(self) -> bool:
        """Whether it gave the reference's tokens and logprobs."""
        close = self.largest_difference <= TOLERANCE
        return not self.problem and close and self.num_equal == self.num_asked > 0


# --- one checkpoint, in this process


def check(name: str, wanted_devices: int) -> Result:
    """Serve a checkpoint's prompts twice and compare."""
    config = read_config(folder(name))
    runner, devices = _runner(name, wanted_devices)
    scheduler = Scheduler(runner.limits, max_queued_requests=2 * NUM_PROMPTS)
    data = golden(name)
    prompts = _comparable(config, data)
    first = _serve(scheduler, runner, [_request(data, prompt, TOP) for prompt in prompts])
    again = _serve(scheduler, runner, [_request(data, prompt, None) for prompt in prompts])
    differences = [
        difference(found, data[f"{where}_ids{end}"][row], data[f"{where}_logprobs{end}"][row])
        for prompt in prompts
        for found, where, end, row in _compared(first[prompt], prompt)
    ]
    greedy = [data[f"greedy_{prompt}"].tolist() for prompt in prompts]
    equal = [
        answers[prompt].token_ids == wanted
        for answers in (first, again)
        for prompt, wanted in zip(prompts, greedy, strict=True)
    ]
    return Result(
        name,
        config.architecture,
        wanted_devices,
        devices,
        max(differences),
        len(differences),
        sum(equal),
        len(equal),
        sum(answer.cached_tokens for answer in again.values()),
    )


@dataclass(slots=True)
class Answer:
    """What was said to one prompt."""

    token_ids: list[int]
    logprobs: list[TokenLogprobs]
    prompt_logprobs: Sequence[TokenLogprobs | None] = ()
    cached_tokens: int = 0


def _runner(name: str, wanted_devices: int) -> tuple[Runner[Any], int]:
    """Build it on so many devices, or on the most below that the model can be cut for."""
    for devices in range(wanted_devices, 0, -1):
        settings = RuntimeSettings.model_validate(
            SETTINGS
            | {"model": folder(name), "cpu_devices": wanted_devices, "tensor_parallel": devices}
        )
        try:
            return build_runner(settings, lambda _: None).runner, devices
        except ConfigurationError:
            if devices == 1:
                raise
    raise AssertionError("unreachable: one device was tried")


def _comparable(config: ModelConfig, data: dict[str, Any]) -> list[int]:
    """List the prompts whose reference is an engine's answer.

    LongRoPE's reference changes its factors in mid-request; an engine has one set of them, the
    long one here (docs/adr/0019), so only prompts that begin beyond the short ones' reach count.
    """
    reach = max(
        (
            rope.scaling.original_max_positions
            for rope in config.ropes
            if isinstance(rope.scaling, LongScaling)
        ),
        default=0,
    )
    return [prompt for prompt in range(NUM_PROMPTS) if len(data[f"ids_{prompt}"]) > reach]


def _request(data: dict[str, Any], prompt: int, logprobs: int | None) -> Submit:
    everywhere = logprobs if prompt == EVERYWHERE else None
    return Submit(
        request_id=str(prompt),
        prompt_ids=data[f"ids_{prompt}"].tolist(),
        max_tokens=len(data[f"greedy_{prompt}"]),
        sampling=Sampling(temperature=0.0),
        logprobs=logprobs,
        prompt_logprobs=everywhere,
    )


def _serve(
    scheduler: Scheduler, runner: Runner[Any], requests: Iterable[Submit]
) -> dict[int, Answer]:
    """Run requests to their end as the engine's loop does, a step ahead of what is known."""
    answers: dict[int, Answer] = {}
    for request in requests:
        scheduler.submit(request)
        answers[int(request.request_id)] = Answer([], [])
    in_flight = None
    while not scheduler.is_idle or in_flight is not None:
        plan = scheduler.plan()
        started = None if plan is None else (plan, runner.start(plan))
        if in_flight is not None:
            before, handle = in_flight
            for output in scheduler.commit(before, runner.finish(handle)):
                assert isinstance(output, Output)  # nothing was asked of the cache
                _add(answers[int(output.request_id)], output)
        in_flight = started
    return answers


def _add(answer: Answer, output: Output) -> None:
    answer.token_ids += output.token_ids
    answer.logprobs += output.logprobs or []
    answer.prompt_logprobs = output.prompt_logprobs or answer.prompt_logprobs
    answer.cached_tokens = output.cached_tokens


def _compared(answer: Answer, prompt: int) -> Iterable[tuple[TokenLogprobs, str, str, Any]]:
    """Give what was found, and where the reference has it: array names and row."""
    if prompt in PROMPTS:
        yield answer.logprobs[0], "top", f"_{prompt}", ...
    for position, found in enumerate(answer.prompt_logprobs[1:]):
        assert found is not None
        yield found, "all_top", "", position


def difference(found: TokenLogprobs, ids: ArrayLike, logprobs: ArrayLike) -> float:
    """Return the largest difference of the likeliest, in order and token by token.

    Tokens that only one side has among its last are compared by their place alone: near ties.
    """
    in_order = np.abs(np.subtract(found.top_logprobs, logprobs)).max()
    wanted = dict(zip(np.asarray(ids).tolist(), np.asarray(logprobs).tolist(), strict=True))
    pairs = zip(found.top_ids, found.top_logprobs, strict=True)
    by_token = [abs(value - wanted[token]) for token, value in pairs if token in wanted]
    return float(max(in_order, *by_token)) if len(by_token) >= len(wanted) - 2 else float("inf")


# --- all of them, each in a process of its own


def check_apart(name: str, wanted_devices: int) -> Result:
    """Check in another process: the number of devices is decided when jax begins."""
    command = [sys.executable, "-m", "hack.golden_report", name, "--apart"]
    command += ["--tensor-parallel", str(wanted_devices)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        architecture = read_config(folder(name)).architecture
        return Result(name, architecture, wanted_devices, 0, float("inf"), 0, 0, 0, 0, last)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def row(result: Result) -> str:
    """Render one line of the table."""
    devices = str(result.devices)
    if result.devices != result.wanted_devices:
        devices += f" (not {result.wanted_devices})"
    return (
        f"| {result.name} | {result.architecture} | {devices}"
        f" | {result.largest_difference:.1e} at {result.num_positions}"
        f" | {result.num_equal} of {result.num_asked} | {result.cached_tokens}"
        f" | {'yes' if result.is_right else 'NO ' + result.problem} |"
    )


def main() -> int:
    """Print the table as it comes, then the sum."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.golden_report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all at hand")
    parser.add_argument(
        "--tensor-parallel", nargs="+", type=int, default=DEVICES, help="default: 1 4"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        result = check(options.names[0], options.tensor_parallel[0])
        print(json.dumps(asdict(result)))
        return 0
    pairs = [(name, size) for name in options.names or names() for size in options.tensor_parallel]
    print(
        "| checkpoint | architecture | devices | max Δlogprob, at positions | greedy equal"
        " | cached tokens | right |"
    )
    print("|---|---|---:|---:|---:|---:|---|", flush=True)
    results: list[Result] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(check_apart, *zip(*pairs, strict=True)):
            print(row(result), flush=True)
            results.append(result)
    return 0 if tell(results, whole=not options.names) else 1


def tell(results: Sequence[Result], *, whole: bool) -> bool:
    """Say what is wrong, if anything; with all checkpoints no architecture may be missing."""
    wrong = [result for result in results if not result.is_right]
    print(f"\n{len(results) - len(wrong)} of {len(results)} right; allowed: {TOLERANCE:g}")
    missing = sorted(set(ARCHITECTURES) - {result.architecture for result in results})
    if whole and missing:
        print(f"not compared: {', '.join(missing)}")
    return not wrong and not (whole and missing)


if __name__ == "__main__":
    sys.exit(main())
