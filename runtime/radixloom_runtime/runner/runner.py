"""Runs step plans on the device; holds all of its state.

`start` packs a plan into one vector and dispatches; jax runs it in the background, in order, since
each step takes the history and the rows that the one before it gives. `finish` fetches what the
plan asked for, and only that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from radixloom_runtime.errors import EngineError
from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Weights
from radixloom_runtime.ops.sampling import Logprobs
from radixloom_runtime.runner.buckets import Bucket, choose
from radixloom_runtime.runner.host_pages import HostPages
from radixloom_runtime.runner.programs import CHANGE_GRANTS, CHANGE_STARTS, Programs
from radixloom_runtime.runner.rows import (
    RowState,
    dense_pieces,
    needs_dense,
    pack_grants,
    pack_start,
)
from radixloom_runtime.runner.step import StepOutput
from radixloom_runtime.runner.step_input import StepLayout, padded_changes
from radixloom_runtime.wire.plan import (
    Chunk,
    ChunkResult,
    Int32s,
    Limits,
    PageMove,
    RowStart,
    StepPlan,
    StepResult,
    Top,
)


@dataclass(frozen=True, slots=True)
class JaxStep:
    """A step that was started."""

    number: int
    chunks: tuple[Chunk, ...]
    order: tuple[int, ...]
    """Index into `chunks` of each line of the output."""
    output: StepOutput


class JaxRunner:
    """The `wire.plan.Runner` of JAX devices."""

    def __init__(
        self,
        limits: Limits,
        programs: Programs,
        weights: Weights,
        history: History,
        rows: RowState,
    ) -> None:
        self._limits = limits
        self._layouts = programs.layouts
        self._buckets = tuple(programs.layouts)
        self.programs = programs
        self._weights = weights
        self._history = history
        self._rows = rows
        self._host_pages = None
        if limits.num_host_pages:
            self._host_pages = HostPages(
                history.pages, num_pages=limits.num_pages, num_slots=limits.num_host_pages
            )

    @property
    def limits(self) -> Limits:
        """What this runner was built for."""
        return self._limits

    @property
    def pool_bytes(self) -> int:
        """Memory of the KV cache."""
        return self._history.pages.nbytes

    def start(self, plan: StepPlan) -> JaxStep:
        """Begin a step and return before it ends.

        Raises: `EngineError` for a plan over the limits.
        """
        order, num_decodes = _decodes_first(plan.chunks)
        chunks = [plan.chunks[i] for i in order]
        layout = self._layouts[self._bucket(plan, mixed=num_decodes < len(chunks))]
        self._move_pages(plan.moves)
        starts, grants = self._changes(plan, layout)
        vector = layout.pack(chunks, starts, grants, num_decodes=num_decodes)
        self._history, self._rows, output = self.programs.step(layout.bucket)(
            self._weights, self._history, self._rows, vector
        )
        _fetch_ahead(output, plan.chunks)
        return JaxStep(plan.number, plan.chunks, tuple(order), output)

    def _move_pages(self, moves: Sequence[PageMove]) -> None:
        if not moves:
            return
        if self._host_pages is None:
            raise EngineError("a plan moves pages to host memory, of which none was set aside")
        pages = self._host_pages.move(self._history.pages, moves)
        self._history = self._history._replace(pages=pages)

    def finish(self, handle: JaxStep) -> StepResult:
        """Wait for a step and fetch its results."""
        token_ids = np.asarray(handle.output.token_ids)
        logprobs = _host(handle.output.logprobs) if _wants_logprobs(handle.chunks) else None
        of_prompt = handle.output.prompt_logprobs
        prompt = _host(of_prompt) if of_prompt and _wants_prompt(handle.chunks) else None
        results: dict[int, ChunkResult] = {}
        line = offset = 0
        for index in handle.order:
            chunk = handle.chunks[index]
            results[index] = _result(chunk, line, offset, token_ids, logprobs, prompt)
            line += 1 + len(chunk.guessed_ids)
            offset += chunk.length
        return StepResult(handle.number, tuple(results[i] for i in range(len(results))))

    def _bucket(self, plan: StepPlan, *, mixed: bool) -> Bucket:
        tokens = plan.num_tokens
        rows = len(plan.chunks) + sum(len(chunk.guessed_ids) for chunk in plan.chunks)
        bucket = choose(self._buckets, num_tokens=tokens, num_rows=rows, mixed=mixed)
        if bucket is None:
            raise EngineError(
                f"step {plan.number} has {tokens} tokens in {rows} chunks, over the limits of"
                f" {self._limits.step_tokens} tokens and {self._limits.max_rows} rows"
            )
        return bucket

    def _changes(self, plan: StepPlan, layout: StepLayout) -> tuple[Int32s, Int32s]:
        """Pack what changed; send ahead what the step's own input cannot hold."""
        starts = np.array([pack_start(start) for start in plan.starts], np.int32)
        grants = pack_grants(plan.grants)
        for start in plan.starts:
            if needs_dense(start):
                self._write_dense(start)
        while len(starts) > layout.max_starts or len(grants) > layout.max_grants:
            ahead = padded_changes(
                starts[:CHANGE_STARTS], grants[:CHANGE_GRANTS], CHANGE_STARTS, CHANGE_GRANTS
            )
            self._rows = self.programs.apply_changes(self._rows, ahead)
            starts, grants = starts[CHANGE_STARTS:], grants[CHANGE_GRANTS:]
        return starts, grants

    def _write_dense(self, start: RowStart) -> None:
        for piece in dense_pieces(start):
            vocabulary = self.programs.write_dense(self._rows.vocabulary, *piece)
            self._rows = self._rows._replace(vocabulary=vocabulary)


def _decodes_first(chunks: Sequence[Chunk]) -> tuple[list[int], int]:
    """Return the order in which chunks are laid out, and how many of single tokens lead."""
    decodes: list[int] = []
    others: list[int] = []
    for i, chunk in enumerate(chunks):
        (others if len(chunk.token_ids) > 1 or chunk.next_ids else decodes).append(i)
    return decodes + others, len(decodes)


def _wants_logprobs(chunks: Sequence[Chunk]) -> bool:
    return any(chunk.top_logprobs is not None for chunk in chunks)


def _wants_prompt(chunks: Sequence[Chunk]) -> bool:
    return any(chunk.next_ids for chunk in chunks)


def _fetch_ahead(output: StepOutput, chunks: Sequence[Chunk]) -> None:
    """Begin copies to the host as soon as the step is done."""
    wanted: list[jax.Array] = [output.token_ids]
    if _wants_logprobs(chunks):
        wanted += output.logprobs
    if output.prompt_logprobs and _wants_prompt(chunks):
        wanted += output.prompt_logprobs
    for array in wanted:
        array.copy_to_host_async()


@dataclass(frozen=True, slots=True)
class _HostLogprobs:
    chosen: np.ndarray
    top_ids: np.ndarray
    top: np.ndarray

    def tops(self, line: int, count: int) -> Top:
        return Top(self.top_ids[line, :count].copy(), self.top[line, :count].copy())


def _host(logprobs: Logprobs) -> _HostLogprobs:
    return _HostLogprobs(*(np.asarray(part) for part in logprobs))


def _result(
    chunk: Chunk,
    line: int,
    offset: int,
    token_ids: Int32s,
    logprobs: _HostLogprobs | None,
    prompt: _HostLogprobs | None,
) -> ChunkResult:
    result = ChunkResult(int(token_ids[line]) if chunk.samples else None)
    if chunk.guessed_ids:
        return ChunkResult(result.token_id, further_ids=_further_ids(chunk, line, token_ids))
    if chunk.samples and chunk.top_logprobs is not None and logprobs is not None:
        top = logprobs.tops(line, chunk.top_logprobs)
        result = ChunkResult(result.token_id, float(logprobs.chosen[line]), top)
    if not chunk.next_ids or prompt is None:
        return result
    lines = range(offset, offset + len(chunk.next_ids))
    return ChunkResult(
        result.token_id,
        result.logprob,
        result.top,
        prompt.chosen[lines.start : lines.stop].copy(),
        tuple(prompt.tops(i, chunk.prompt_logprobs or 0) for i in lines),
    )


def _further_ids(chunk: Chunk, line: int, token_ids: Int32s) -> tuple[int, ...]:
    """Return what was sampled after each right guess, up to the first wrong one."""
    sampled = token_ids[line : line + 1 + len(chunk.guessed_ids)].tolist()
    num_right = 0
    while num_right < len(chunk.guessed_ids) and chunk.guessed_ids[num_right] == sampled[num_right]:
        num_right += 1
    return tuple(sampled[1 : 1 + num_right])
