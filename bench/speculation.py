"""Tokens a second with and without speculation, taking turns in one process.

    .venv/bin/python bench/speculation.py MODEL_FOLDER [--tokens 64] [--streams 1 4] [--guesses 4]
        [--draft-model FOLDER]

Guesses are n-grams, or the draft model's. `plain` is without guesses, in the same engine: with a
draft model, it follows every step even so, and what that costs is told by `alone`, an engine
without it.

The scheduler and the compiled steps without HTTP. Tasks: `repeat` (a chat asks for a program back),
`story` (new text, where guesses are in vain) and `copy` (a text that goes round already: the best
case). Greedy. The answers with and without must be the same.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from radixloom_runtime.runner.build import build_runner
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.scheduler.speculation import Speculation, parse
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.text import chat_template, tokenizer
from radixloom_runtime.wire.messages import Output, Sampling, Submit

PROGRAM = """def total_price(items, tax_rate):
    total = 0
    for item in items:
        price = item.price * item.count
        if item.discount:
            price = price * (1 - item.discount)
        total = total + price
    return total * (1 + tax_rate)
"""
TASKS = {
    "repeat": f"Repeat this program exactly as it is:\n```python\n{PROGRAM}```",
    "story": "Tell me a story of a sailor who learns to bake bread on a lonely island.",
}


def prompts_of(folder: Path) -> dict[str, list[int]]:
    """Write each task with the model's own template."""
    loaded = tokenizer.load(folder)
    template = chat_template.load(folder, loaded.special_tokens)
    if template is None:
        raise SystemExit(f"{folder} has no chat template")
    texts = {
        name: template.render([{"role": "user", "content": task}]) for name, task in TASKS.items()
    }
    texts["copy"] = 20 * "The cat sat on the mat. "  # a plain text, which any model continues
    return {name: loaded.encode(text, add_special_tokens=False) for name, text in texts.items()}


def serve(runner: Any, scheduler: Scheduler, submits: list[Submit]) -> dict[str, list[int]]:
    """Run requests to their end, as the engine's loop does."""
    answers: dict[str, list[int]] = {submit.request_id: [] for submit in submits}
    for submit in submits:
        scheduler.submit(submit)
    before = None
    while before is not None or not scheduler.is_idle:
        plan = scheduler.plan()
        started = None if plan is None else (plan, runner.start(plan))
        if before is not None:
            for output in scheduler.commit(before[0], runner.finish(before[1])):
                if isinstance(output, Output):
                    answers[output.request_id] += output.token_ids
        before = started
    return answers


def measure(
    runner: Any,
    prompt: list[int],
    arguments: argparse.Namespace,
    streams: int,
    speculation: Speculation | None = None,
) -> tuple[float, dict[str, list[int]], str]:
    """Return the seconds of the decoding, the answers, and how the guesses went."""
    scheduler = Scheduler(runner.limits, max_queued_requests=1000, speculation=speculation)
    greedy = Sampling(temperature=0.0)
    warm = Submit(request_id="warm", prompt_ids=prompt, max_tokens=1, sampling=greedy)
    serve(runner, scheduler, [warm])  # the prompt is cached: what is timed is decoding
    submits = [
        Submit(
            request_id=str(index), prompt_ids=prompt, max_tokens=arguments.tokens, sampling=greedy
        )
        for index in range(streams)
    ]
    began = time.perf_counter()
    answers = serve(runner, scheduler, submits)
    seconds = time.perf_counter() - began
    told = "" if speculation is None else f"{speculation.num_right}/{speculation.num_guessed}"
    return seconds, answers, told


def main() -> None:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--guesses", type=int, default=4)
    parser.add_argument("--draft-model", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    kind = "ngram" if arguments.draft_model is None else "draft"
    given = {"model": arguments.model, "max_running_requests": 16}
    drafted = {"speculation": kind, "draft_model": arguments.draft_model}
    alone = build(given)
    guessing = alone if kind == "ngram" else build(given | drafted)
    print(
        f"{'task':8} streams  alone tok/s  plain/alone  guessed/alone  right/guessed  same answers"
    )
    for name, prompt in prompts_of(arguments.model).items():
        for streams in arguments.streams:
            report(name, prompt, arguments, streams, alone, guessing, kind)


def report(
    name: str,
    prompt: list[int],
    arguments: argparse.Namespace,
    streams: int,
    alone: Any,
    guessing: Any,
    kind: str,
) -> None:
    """Measure one task in turns, and print the best of each way."""
    seconds = dict.fromkeys(("alone", "plain", "guessed"), float("inf"))
    told, same, count = "", True, 0
    for _ in range(arguments.rounds):
        took, expected, _ = measure(alone, prompt, arguments, streams)
        seconds["alone"] = min(seconds["alone"], took)
        took, plain, _ = measure(guessing, prompt, arguments, streams)
        seconds["plain"] = min(seconds["plain"], took)
        speculation = parse(f"{kind}:{arguments.guesses}")
        took, found, told = measure(guessing, prompt, arguments, streams, speculation)
        seconds["guessed"] = min(seconds["guessed"], took)
        same = same and found == expected == plain
        count = sum(map(len, found.values()))
    print(
        f"{name:8} {streams:7} {count / seconds['alone']:12.1f}"
        f" {seconds['alone'] / seconds['plain']:12.2f}"
        f" {seconds['alone'] / seconds['guessed']:14.2f}  {told:>13}  {same}",
        flush=True,
    )


def build(settings: dict[str, Any]) -> Any:
    """Load and compile."""
    return build_runner(RuntimeSettings.model_validate(settings), lambda _: None).runner


if __name__ == "__main__":
    main()
