"""Runs step plans on the device; holds all of its state.

`start` packs a plan into one vector a group and dispatches; jax runs it in the background, in
order, since each step takes the history and the rows that the one before it gives. `finish` fetches
what the plan asked for, and only that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from radixloom_runtime.errors import EngineError
from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Weights
from radixloom_runtime.runner.buckets import Bucket, choose
from radixloom_runtime.runner.drafter import Drafter
from radixloom_runtime.runner.host_pages import HostPages
from radixloom_runtime.runner.parts import Part, parts_of
from radixloom_runtime.runner.programs import CHANGE_GRANTS, CHANGE_STARTS, Programs
from radixloom_runtime.runner.results import fetch_ahead, results_of
from radixloom_runtime.runner.rows import (
    RowState,
    dense_pieces,
    in_group,
    needs_dense,
    pack_masks,
)
from radixloom_runtime.runner.step import StepOutput
from radixloom_runtime.runner.step_input import StepLayout, padded_changes
from radixloom_runtime.wire.plan import (
    Chunk,
    Limits,
    PageMove,
    RowMask,
    RowStart,
    StepPlan,
    StepResult,
)


@dataclass(frozen=True, slots=True)
class JaxStep:
    """A step that was started."""

    number: int
    chunks: tuple[Chunk, ...]
    orders: tuple[tuple[int, ...], ...]
    """For each group: index into `chunks` of each chunk, in the order of its output."""
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
        drafter: Drafter | None = None,
    ) -> None:
        self._limits = limits
        self._layouts = programs.layouts
        self._buckets = tuple(programs.layouts)
        self.programs = programs
        self.weights = weights
        """What steps multiply by; others of the same shapes may take their place between steps."""
        self._history = history
        self._rows = rows
        self._drafter = drafter
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
        of_drafter = 0 if self._drafter is None else self._drafter.pool_bytes
        return self._history.pages.nbytes + of_drafter

    def start(self, plan: StepPlan) -> JaxStep:
        """Begin a step and return before it ends.

        Raises: `EngineError` for a plan over the limits.
        """
        parts = parts_of(plan, self._limits)
        layout = self._layouts[self._bucket(plan.number, parts)]
        self._move_pages(plan.moves)
        self._write_dense(plan.starts)
        self._write_masks(plan.masks)
        self._send_ahead(parts, layout)
        vectors = layout.join([part.pack(layout) for part in parts])
        if self._drafter is not None:
            self._rows = self._drafter.run(self._rows, parts, layout.bucket, vectors)
        self._history, self._rows, output = self.programs.step(layout.bucket)(
            self.weights, self._history, self._rows, vectors
        )
        fetch_ahead(output, plan.chunks)
        return JaxStep(plan.number, plan.chunks, tuple(part.order for part in parts), output)

    def _move_pages(self, moves: Sequence[PageMove]) -> None:
        if not moves:
            return
        if self._host_pages is None:
            raise EngineError("a plan moves pages to host memory, of which none was set aside")
        pages = self._host_pages.move(self._history.pages, moves)
        self._history = self._history._replace(pages=pages)
        if self._drafter is not None:
            self._drafter.move_pages(moves)

    def finish(self, handle: JaxStep) -> StepResult:
        """Wait for a step and fetch its results."""
        chunks = results_of(handle.output, handle.chunks, handle.orders)
        return StepResult(handle.number, chunks)

    def _bucket(self, number: int, parts: Sequence[Part]) -> Bucket:
        """Choose the smallest step that holds each group's part."""
        tokens = max(part.num_tokens for part in parts)
        rows = max(part.num_lines for part in parts)
        mixed = any(part.num_decodes < len(part.chunks) for part in parts)
        bucket = choose(self._buckets, num_tokens=tokens, num_rows=rows, mixed=mixed)
        if bucket is None:
            raise EngineError(
                f"step {number} has {tokens} tokens in {rows} chunks, over the limits of"
                f" {self._limits.step_tokens} tokens and {self._limits.max_rows} rows"
            )
        return bucket

    def _send_ahead(self, parts: Sequence[Part], layout: StepLayout) -> None:
        """Send ahead the changes that the step's own input cannot hold."""
        while any(part.holds_too_many(layout) for part in parts):
            changes = [part.take_changes(CHANGE_STARTS, CHANGE_GRANTS) for part in parts]
            ahead = padded_changes(changes, CHANGE_STARTS, CHANGE_GRANTS)
            self._rows = self.programs.apply_changes(self._rows, ahead)

    def _write_masks(self, masks: Sequence[RowMask]) -> None:
        if not masks:
            return
        groups = [self._limits.group_of_row(mask.row) for mask in masks]
        most = max(map(groups.count, set(groups)))
        write, num_lines = self.programs.write_masks(most)
        num_words = self._rows.allowed.shape[1]
        packed = pack_masks(masks, num_words, num_lines, self._limits)
        self._rows = self._rows._replace(allowed=write(self._rows.allowed, *packed))

    def _write_dense(self, starts: Sequence[RowStart]) -> None:
        limits = self._limits
        for start in filter(needs_dense, starts):
            group = limits.group_of_row(start.row)
            row = start.row - group * limits.max_rows
            for piece in dense_pieces(start, row):
                vocabulary = self.programs.write_dense(
                    self._rows.vocabulary, *in_group(piece, group, limits.num_groups)
                )
                self._rows = self._rows._replace(vocabulary=vocabulary)
