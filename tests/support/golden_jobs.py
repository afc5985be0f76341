"""A checkpoint's reference prompts, run side by side and compared."""

from collections.abc import Sequence
from typing import Any

from support.goldens import PROMPTS, assert_same_top, golden
from support.step_driver import Job, run

from radixloom_runtime.wire.plan import Runner

_PAGES = 15
"""Of each prompt; there are 16 tokens in a page."""


def assert_gives_goldens(runner: Runner[Any], name: str, prompts: Sequence[int] = PROMPTS) -> None:
    """Fail unless all prompts' greedy tokens are the reference's.

    And, for those in `PROMPTS`, the likeliest first tokens.
    """
    data, limits = golden(name), runner.limits
    jobs: list[Job] = []
    for index, prompt in enumerate(prompts):  # each group has its turn
        place, group = divmod(index, limits.num_groups)
        first_page = group * limits.num_pages + place * _PAGES
        jobs.append(
            Job(
                data[f"ids_{prompt}"].tolist(),
                len(data[f"greedy_{prompt}"]),
                group * limits.max_rows + place,
                range(first_page, first_page + _PAGES),
                top_logprobs=20,
            )
        )
    run(runner, jobs, chunk_tokens=40)
    for job, prompt in zip(jobs, prompts, strict=True):
        assert job.ids == data[f"greedy_{prompt}"].tolist()
        if prompt in PROMPTS:
            top = job.results[0].top
            assert top is not None
            assert_same_top(top, data[f"top_ids_{prompt}"], data[f"top_logprobs_{prompt}"])
