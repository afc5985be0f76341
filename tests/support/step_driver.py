"""Drives a runner with step plans, as simply as can be: no scheduler, no cache.

Each request has a row and pages of its own (or pages that it is given). Every step decodes the
requests whose prompt is done, and computes one chunk of each prompt that still fits. A decode's
token stays on the device; step n + 1 is started before step n is finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from radixloom_runtime.wire.messages import Sampling
from radixloom_runtime.wire.plan import (
    Chunk,
    ChunkResult,
    PageGrant,
    RowStart,
    Runner,
    StepPlan,
)

GREEDY = Sampling(temperature=0.0)


@dataclass
class Job:
    """A request and what became of it."""

    prompt: Sequence[int]
    max_tokens: int
    row: int
    pages: Sequence[int]
    sampling: Sampling = GREEDY
    cached: int = 0
    """Leading prompt tokens that are in the pages already."""
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    adapter_slot: int = 0
    results: list[ChunkResult] = field(default_factory=list)
    prompt_results: list[ChunkResult] = field(default_factory=list)
    computed: int = -1
    sampled: int = 0

    @property
    def ids(self) -> list[int]:
        return [result.token_id for result in self.results if result.token_id is not None]

    @property
    def done(self) -> bool:
        return self.sampled >= self.max_tokens


def run(runner: Runner[Any], jobs: Sequence[Job], *, chunk_tokens: int) -> None:
    """Run all jobs to their end; what comes out is in the jobs."""
    before: tuple[Any, list[Job]] | None = None
    for number in range(100_000):
        plan, planned = _plan(runner, number, jobs, chunk_tokens)
        started = (runner.start(plan), planned) if planned else None
        if before is not None:
            _record(runner.finish(before[0]).chunks, before[1])
        if started is None:
            return
        before = started


def _plan(
    runner: Runner[Any], number: int, jobs: Sequence[Job], chunk_tokens: int
) -> tuple[StepPlan, list[Job]]:
    budget = runner.limits.step_tokens
    starts: list[RowStart] = []
    grants: list[PageGrant] = []
    chunks: list[Chunk] = []
    planned: list[Job] = []
    for job in [job for job in jobs if job.computed >= len(job.prompt) and not job.done]:
        chunks.append(Chunk(job.row, job.computed, (), samples=True, top_logprobs=job.top_logprobs))
        job.computed += 1
        job.sampled += 1
        planned.append(job)
    for job in [job for job in jobs if job.computed < len(job.prompt)]:
        room = min(budget - sum(chunk.length for chunk in chunks), chunk_tokens)
        if room <= 0:
            break
        if job.computed < 0:
            job.computed = job.cached
            starts.append(_start(job))
            grants.append(PageGrant(job.row, 0, tuple(job.pages)))
        chunks.append(_prompt_chunk(job, room))
        planned.append(job)
    return StepPlan(number, tuple(starts), tuple(grants), tuple(chunks)), planned


def _start(job: Job) -> RowStart:
    return RowStart(
        job.row,
        job.sampling,
        tuple(job.prompt),
        len(job.prompt),
        job.stop_token_ids,
        len(job.prompt) + job.min_tokens,
        adapter_slot=job.adapter_slot,
    )


def _prompt_chunk(job: Job, room: int) -> Chunk:
    start = job.computed
    token_ids = tuple(job.prompt[start : start + room])
    job.computed += len(token_ids)
    samples = job.computed == len(job.prompt) and job.max_tokens > 0
    job.sampled += samples
    wanted = job.prompt_logprobs
    return Chunk(
        job.row,
        start,
        token_ids,
        samples=samples,
        top_logprobs=job.top_logprobs if samples else None,
        prompt_logprobs=wanted,
        next_ids=() if wanted is None else tuple(job.prompt[start + 1 : job.computed + 1]),
    )


def _record(results: Sequence[ChunkResult], jobs: Sequence[Job]) -> None:
    for result, job in zip(results, jobs, strict=True):
        if result.token_id is not None:
            job.results.append(result)
        if len(result.prompt_logprobs):
            job.prompt_results.append(result)
