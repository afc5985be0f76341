"""The demo model's numbers are those of the reference implementation.

Needs `radixloom fetch demo` to have run (`make demo` and `make test` do it).
"""

import json
import os
from pathlib import Path

import pytest
from support.step_driver import Job, run

from hack.goldens import TARGET
from radixloom_runtime.runner.build import BuiltRunner, build_runner
from radixloom_runtime.settings import RuntimeSettings

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radixloom"
DEMO = CACHE / "models" / "smollm2-135m-instruct"
TOLERANCE = 2e-3
ROWS = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built(compile_cache: Path) -> BuiltRunner:
    if not DEMO.exists():
        pytest.fail(f"{DEMO} is missing; bring it with `radixloom fetch demo`")
    settings = RuntimeSettings(
        model=DEMO,
        max_running_requests=ROWS,
        step_tokens=64,
        kv_cache_tokens=2048,
        compile_cache_dir=compile_cache,
    )
    return build_runner(settings, lambda _: None)


def test_greedy_continuations_and_logprobs_equal_the_goldens(built):
    prompts = json.loads((TARGET / "smollm2-135m-public.json").read_text())["prompts"]
    for first in range(0, len(prompts), ROWS):
        group = prompts[first : first + ROWS]
        jobs = [
            Job(
                p["prompt_ids"],
                len(p["greedy_ids"]),
                row=i,
                pages=range(i * 32, i * 32 + 32),
                top_logprobs=5,
            )
            for i, p in enumerate(group)
        ]
        run(built.runner, jobs, chunk_tokens=48)
        for job, prompt in zip(jobs, group, strict=True):
            check(job, prompt)


def check(job: Job, prompt: dict) -> None:
    """Equal up to the first step whose two best tokens are too close to call, if they differ."""
    expected = prompt["greedy_ids"]
    pairs = enumerate(zip(job.ids, expected, strict=True))
    same = next((step for step, (found, wanted) in pairs if found != wanted), len(expected))
    assert same == len(expected) or same in prompt["ambiguous_steps"], (prompt["id"], same)
    for step, result in enumerate(job.results[:same]):
        assert result.top is not None
        wanted = dict(zip(prompt["top5_ids"][step], prompt["top5_logprobs"][step], strict=True))
        found = dict(zip(result.top.ids.tolist(), result.top.logprobs.tolist(), strict=True))
        for token in wanted.keys() & found.keys():
            assert abs(wanted[token] - found[token]) <= TOLERANCE
        assert len(wanted.keys() & found.keys()) >= 4  # the fifth may tie with the sixth
        assert abs(result.logprob - wanted[expected[step]]) <= TOLERANCE


def test_nothing_compiles_after_warm_up(built):
    assert built.compiles_after_warmup() == 0
    assert built.ready.num_buckets == 5  # 1, 2, 4 rows; 16 and 64 tokens
