"""How far a runner's logprobs are from a checkpoint's reference."""

from typing import Any

import numpy as np
from support.goldens import golden
from support.step_driver import Job, run

from radixloom_runtime.wire.plan import Runner, Top


def top_logprobs(runner: Runner[Any], name: str) -> tuple[list[Top], list[int]]:
    """Return the 20 likeliest tokens at each position of a prompt, and 8 greedy tokens after it."""
    job = Job(golden(name)["ids_3"].tolist(), 8, row=1, pages=range(20, 26), prompt_logprobs=20)
    run(runner, [job], chunk_tokens=20)
    return [top for result in job.prompt_results for top in result.prompt_tops], job.ids


def error(tops: list[Top], data: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return mean |difference of a logprob| over tokens that both name, and top-1 agreement."""
    differences, agree = [], []
    for top, ids, values in zip(tops, data["all_top_ids"], data["all_top_logprobs"], strict=False):
        known = dict(zip(ids.tolist(), values.tolist(), strict=True))
        pairs = zip(top.ids.tolist(), top.logprobs.tolist(), strict=True)
        differences += [abs(value - known[i]) for i, value in pairs if i in known]
        agree.append(top.ids[0] == ids[0])
    return float(np.mean(differences)), float(np.mean(agree))
