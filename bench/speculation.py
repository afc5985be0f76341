"""Tokens a second with and without n-gram speculation, taking turns in one process.

    .venv/bin/python bench/speculation.py MODEL_FOLDER [--tokens 64] [--streams 1 4] [--guesses 4]

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
from radixloom_runtime.scheduler.speculation import Speculation
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
    runner: Any, prompt: list[int], arguments: argparse.Namespace, streams: int, guesses: int | None
) -> tuple[float, dict[str, list[int]], str]:
    """Return the seconds of the decoding, the answers, and how the guesses went."""
    speculation = None if guesses is None else Speculation(guesses)
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
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    settings = RuntimeSettings.model_validate(
        {"model": arguments.model, "max_running_requests": 16}
    )
    runner = build_runner(settings, lambda _: None).runner
    print(f"{'task':8} streams  plain tok/s  guessed tok/s  ratio  right/guessed  same answers")
    for name, prompt in prompts_of(arguments.model).items():
        for streams in arguments.streams:
            plain = guessed = float("inf")
            told, same, count = "", True, 0
            for _ in range(arguments.rounds):
                seconds, expected, _ = measure(runner, prompt, arguments, streams, None)
                plain = min(plain, seconds)
                seconds, found, told = measure(
                    runner, prompt, arguments, streams, arguments.guesses
                )
                guessed = min(guessed, seconds)
                same = same and found == expected
                count = sum(map(len, found.values()))
            print(
                f"{name:8} {streams:7} {count / plain:12.1f} {count / guessed:14.1f}"
                f" {plain / guessed:6.2f}  {told:>13}  {same}"
            )


if __name__ == "__main__":
    main()
