"""Ask a running server every golden prompt and compare with an independent implementation.

    radixloom serve --model "$(radixloom fetch demo)" &
    python bench/goldens.py --url http://127.0.0.1:8000

Each prompt goes to both endpoints: as messages to /v1/chat/completions (so the chat template and
the tokenizer are compared as well) and as token ids to /v1/completions. Greedy, 32 tokens, end of
sequence ignored. Equal means: the same ids, and the logprobs of the five likeliest tokens within
2e-3 at every step. Where the golden file marks a step as ambiguous (its two best tokens are closer
than rounding), another choice is accepted, and what follows it is not compared.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from running_server import api_base, wait_for_model
from streaming import GOLDENS

TOLERANCE = 2e-3
TOP = 5
ENDPOINTS = ("chat", "ids")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, in the golden file's terms."""

    prompt_ids: list[int]
    token_ids: list[int]
    top_logprobs: list[list[float]]
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an answer compares; `problem` is empty where it is equal."""

    steps_compared: int
    largest_difference: float
    problem: str


def compare(golden: dict[str, Any], answer: Answer) -> Verdict:
    """Compare step by step, up to a choice that rounding may decide either way."""
    if answer.prompt_ids != golden["prompt_ids"]:
        return Verdict(0, 0.0, "the prompt's ids differ")
    if len(answer.token_ids) != len(golden["greedy_ids"]):
        wanted = len(golden["greedy_ids"])
        return Verdict(0, 0.0, f"wanted {wanted} tokens, got {len(answer.token_ids)}")
    largest = 0.0
    for step, wanted_id in enumerate(golden["greedy_ids"]):
        pairs = zip(answer.top_logprobs[step], golden["top5_logprobs"][step], strict=True)
        largest = max(largest, *(abs(found - wanted) for found, wanted in pairs))
        if largest > TOLERANCE:
            return Verdict(step, largest, f"step {step}: logprobs differ by {largest:.1e}")
        found_id = answer.token_ids[step]
        if found_id != wanted_id:
            either = step in golden["ambiguous_steps"]
            problem = "" if either else f"step {step}: wanted id {wanted_id}, got {found_id}"
            return Verdict(step, largest, problem)
    return Verdict(len(golden["greedy_ids"]), largest, "")


def ask_chat(client: httpx.Client, model: str, golden: dict[str, Any]) -> Answer:
    """Ask with messages."""
    request = {**_common(model), "messages": golden["messages"], "logprobs": True}
    answer = _post(client, "chat/completions", {**request, "top_logprobs": TOP})
    choice = answer["choices"][0]
    steps = choice["logprobs"]["content"]
    top = [[entry["logprob"] for entry in step["top_logprobs"]] for step in steps]
    return _answer(answer, choice, top)


def ask_ids(client: httpx.Client, model: str, golden: dict[str, Any]) -> Answer:
    """Ask with token ids."""
    request = {**_common(model), "prompt": golden["prompt_ids"], "logprobs": TOP}
    answer = _post(client, "completions", request)
    choice = answer["choices"][0]
    top = [list(step.values()) for step in choice["logprobs"]["top_logprobs"]]
    return _answer(answer, choice, top)


def _common(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 32,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }


def _post(client: httpx.Client, path: str, request: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=request)
    if response.is_error:
        sys.exit(f"{path}: HTTP {response.status_code}: {response.text}")
    return response.json()


def _answer(answer: dict[str, Any], choice: dict[str, Any], top: list[list[float]]) -> Answer:
    details = answer["usage"]["prompt_tokens_details"] or {}
    return Answer(
        prompt_ids=choice["prompt_token_ids"],
        token_ids=choice["token_ids"],
        top_logprobs=[sorted(step, reverse=True)[:TOP] for step in top],
        cached_tokens=details.get("cached_tokens", 0),
    )


def report(goldens: Sequence[dict[str, Any]], answers: Sequence[tuple[Answer, Answer]]) -> int:
    """Print one line per prompt and endpoint; count those that differ."""
    print(f"{'prompt':>6}  {'by':<4}  {'steps':>5}  {'max diff':>8}  {'cached':>6}  result")
    failures = 0
    for golden, pair in zip(goldens, answers, strict=True):
        for endpoint, answer in zip(ENDPOINTS, pair, strict=True):
            verdict = compare(golden, answer)
            failures += bool(verdict.problem)
            print(
                f"{golden['id']:>6}  {endpoint:<4}  {verdict.steps_compared:>5}"
                f"  {verdict.largest_difference:>8.1e}  {answer.cached_tokens:>6}"
                f"  {verdict.problem or 'equal'}"
            )
    return failures


def main() -> int:
    """Compare every prompt; exit code 1 when one differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="Default: %(default)s.")
    parser.add_argument("--goldens", type=Path, default=GOLDENS, help="Default: the demo model's.")
    parser.add_argument("--concurrency", type=int, default=4, help="Default: %(default)s.")
    arguments = parser.parse_args()
    goldens = json.loads(arguments.goldens.read_text(encoding="utf-8"))["prompts"]
    model = wait_for_model(arguments.url)
    with httpx.Client(base_url=api_base(arguments.url), timeout=600) as client:

        def ask(golden: dict[str, Any]) -> tuple[Answer, Answer]:
            return ask_chat(client, model, golden), ask_ids(client, model, golden)

        with ThreadPoolExecutor(arguments.concurrency) as pool:
            answers = list(pool.map(ask, goldens))
    failures = report(goldens, answers)
    print(f"\n{2 * len(goldens) - failures} of {2 * len(goldens)} answers equal ({model})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
