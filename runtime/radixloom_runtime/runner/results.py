"""From what a step left on the devices to a result for each chunk.

StepOutput ──fetch_ahead──► copies begin ──results_of──► ChunkResult per chunk

Nothing is copied that no chunk of the step asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.ops.sampling import Logprobs
from radixloom_runtime.runner.step import StepOutput
from radixloom_runtime.wire.plan import Chunk, ChunkResult, Float32s, Int32s, Top


def fetch_ahead(output: StepOutput, chunks: Sequence[Chunk]) -> None:
    """Begin copies to the host as soon as the step is done."""
    for array in jax.tree.leaves(_wanted(output, chunks)):
        array.copy_to_host_async()


def results_of(
    output: StepOutput, chunks: Sequence[Chunk], orders: Sequence[Sequence[int]]
) -> tuple[ChunkResult, ...]:
    """Wait for a step, and tell what each chunk gave.

    `orders` has for each group the index of each of its chunks, in the order of its output.
    """
    results: dict[int, ChunkResult] = {}
    for order, found in zip(orders, _found(_wanted(output, chunks), len(orders)), strict=True):
        line = offset = 0
        for index in order:
            chunk = chunks[index]
            results[index] = _result(chunk, line, offset, found)
            line += 1 + len(chunk.guessed_ids)
            offset += chunk.length
    return tuple(results[index] for index in range(len(results)))


@dataclass(frozen=True, slots=True)
class _HostLogprobs:
    chosen: np.ndarray
    top_ids: np.ndarray
    top: np.ndarray

    def tops(self, line: int, count: int) -> Top:
        return Top(self.top_ids[line, :count].copy(), self.top[line, :count].copy())


@dataclass(frozen=True, slots=True)
class _Found:
    """What a group's devices gave, as far as anybody asked."""

    token_ids: Int32s
    counts: NDArray[np.bool_] | None
    """Whether a token comes before any wrong guess; None: nothing was guessed."""
    logprobs: _HostLogprobs | None
    prompt: _HostLogprobs | None
    pooled: Float32s | None
    scores: Float32s | None


_Wanted = tuple[
    jax.Array,
    jax.Array | None,
    Logprobs | None,
    Logprobs | None,
    jax.Array | None,
    jax.Array | None,
]
"""Of a `StepOutput`, in its order; None: nobody asked."""


def _wanted(output: StepOutput, chunks: Sequence[Chunk]) -> _Wanted:
    return (
        output.token_ids,
        output.counts if any(chunk.guessed_ids for chunk in chunks) else None,
        output.logprobs if any(chunk.top_logprobs is not None for chunk in chunks) else None,
        output.prompt_logprobs if any(chunk.next_ids for chunk in chunks) else None,
        output.pooled if any(chunk.pooled[1] for chunk in chunks) else None,
        output.scores if any(chunk.scored_ids for chunk in chunks) else None,
    )


def _found(wanted: _Wanted, num_groups: int) -> list[_Found]:
    """Fetch what each group's devices gave."""
    token_ids, counts, logprobs, prompt, pooled, scores = wanted
    found = zip(
        _by_group(token_ids, num_groups),
        _if_wanted(counts, num_groups),
        _host(logprobs, num_groups),
        _host(prompt, num_groups),
        _if_wanted(pooled, num_groups),
        _if_wanted(scores, num_groups),
        strict=True,
    )
    return [_Found(*parts) for parts in found]


def _by_group(array: jax.Array, num_groups: int) -> list[np.ndarray]:
    """Fetch what the groups gave, laid end to end."""
    return list(np.asarray(array).reshape(num_groups, -1, *array.shape[1:]))


def _if_wanted(array: jax.Array | None, num_groups: int) -> Sequence[np.ndarray | None]:
    return [None] * num_groups if array is None else _by_group(array, num_groups)


def _host(logprobs: Logprobs | None, num_groups: int) -> Sequence[_HostLogprobs | None]:
    if logprobs is None:
        return [None] * num_groups
    parts = zip(*(_by_group(part, num_groups) for part in logprobs), strict=True)
    return [_HostLogprobs(*of_group) for of_group in parts]


def _result(chunk: Chunk, line: int, offset: int, found: _Found) -> ChunkResult:
    result = ChunkResult(
        int(found.token_ids[line]) if chunk.samples else None,
        pooled=None if found.pooled is None or not chunk.pooled[1] else found.pooled[line].copy(),
        scores=None if found.scores is None else found.scores[line, : len(chunk.scored_ids)],
    )
    if chunk.guessed_ids and found.counts is not None:
        lines = slice(line, line + 1 + len(chunk.guessed_ids))
        _, *further_ids = found.token_ids[lines][found.counts[lines]].tolist()
        return replace(result, further_ids=tuple(further_ids))
    return _with_prompt(_with_logprobs(result, chunk, line, found), chunk, offset, found)


def _with_logprobs(result: ChunkResult, chunk: Chunk, line: int, found: _Found) -> ChunkResult:
    logprobs = found.logprobs
    if not chunk.samples or chunk.top_logprobs is None or logprobs is None:
        return result
    top = logprobs.tops(line, chunk.top_logprobs)
    return replace(result, logprob=float(logprobs.chosen[line]), top=top)


def _with_prompt(result: ChunkResult, chunk: Chunk, offset: int, found: _Found) -> ChunkResult:
    prompt = found.prompt
    if not chunk.next_ids or prompt is None:
        return result
    lines = range(offset, offset + len(chunk.next_ids))
    return replace(
        result,
        prompt_logprobs=prompt.chosen[lines.start : lines.stop].copy(),
        prompt_tops=tuple(prompt.tops(i, chunk.prompt_logprobs or 0) for i in lines),
    )
