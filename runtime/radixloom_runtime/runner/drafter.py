"""The draft model on the devices: its weights, its pages, and what is compiled for it.

Before each step of the target, what `draft_step` draws; where all of a step is guessed for, the
guessing has filled every page already, and nothing needs to follow.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.runner.buckets import Bucket, ladder
from radixloom_runtime.runner.draft_step import GuessLayout, run_follow, run_guesses
from radixloom_runtime.runner.host_pages import HostPages
from radixloom_runtime.runner.parts import Part
from radixloom_runtime.runner.programs import (
    Compiled,
    compile_in_threads,
    lower_on_mesh,
    shapes_of,
    specs_of,
)
from radixloom_runtime.runner.rows import RowState
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.wire.plan import DRAFTED, Chunk, Int32s, Limits, PageMove


class Drafter:
    """Guesses for rows, and follows every step."""

    def __init__(
        self,
        model: Model,
        layouts: Sequence[StepLayout],
        limits: Limits,
        weights: Weights,
        history: History,
        rows: RowState,
        *,
        vocab_size: int,
    ) -> None:
        """Nothing is compiled yet; of `rows`, the runner's, only the shapes are taken.

        `vocab_size` is the target's.
        """
        self._model = model
        self._num_pages = limits.num_pages
        self._vocab_size = vocab_size
        self._weights = weights
        self._history = history
        self._shapes = shapes_of((weights, history, rows))
        most = max(layout.bucket.rows for layout in layouts) // 2  # a row and a guess each
        self._guesses = [
            GuessLayout(num_rows, limits.page_tokens, limits.max_rows)
            for num_rows in ladder(1, most, 2)
        ]
        self._compiled: dict[Bucket | GuessLayout, Compiled] = {}
        self._lower: dict[Bucket | GuessLayout, Callable[[], Any]] = {
            layout.bucket: partial(self._lower_follow, layout) for layout in layouts
        }
        self._lower |= {layout: partial(self._lower_guesses, layout) for layout in self._guesses}
        self._host_pages = None
        if limits.num_host_pages:
            self._host_pages = HostPages(
                history.pages, num_pages=limits.num_pages, num_slots=limits.num_host_pages
            )

    @property
    def num_programs(self) -> int:
        """What is compiled before ready."""
        return len(self._lower)

    @property
    def pool_bytes(self) -> int:
        """Memory of its pages."""
        return self._history.pages.nbytes

    def compile_all(self, threads: int) -> Iterator[int]:
        """Compile everything, yielding now and then how much is done."""
        return compile_in_threads(self._lower, self._compiled, threads)

    def move_pages(self, moves: Sequence[PageMove]) -> None:
        """Copy the same pages as those of the target."""
        if moves and self._host_pages is not None:
            pages = self._host_pages.move(self._history.pages, moves)
            self._history = self._history._replace(pages=pages)

    def run(
        self, rows: RowState, parts: Sequence[Part], bucket: Bucket, vectors: Int32s
    ) -> RowState:
        """Guess what a step is to verify, and take in its tokens; `vectors` are the step's own."""
        drafted = [_drafted(part) for part in parts]
        num_rows = max(map(len, drafted))
        follows = sum(map(len, drafted)) < sum(len(part.chunks) for part in parts)
        if num_rows:
            layout = next(layout for layout in self._guesses if layout.num_rows >= num_rows)
            most = max(len(chunk.guessed_ids) for chunks in drafted for chunk in chunks)
            num_rounds = most if follows else most + 1  # the last guess goes into its page, too
            packed = [
                layout.pack(chunks, part, num_rounds)
                for chunks, part in zip(drafted, parts, strict=True)
            ]
            program = self._program(layout)
            self._history, guesses = program(self._weights, self._history, rows, np.stack(packed))
            rows = rows._replace(guesses=guesses)
        if follows:
            program = self._program(bucket)
            self._history = program(self._weights, self._history, rows, vectors)
        return rows

    def _program(self, key: Bucket | GuessLayout) -> Compiled:
        if key not in self._compiled:
            self._compiled[key] = self._lower[key]().compile()
        return self._compiled[key]

    def _lower_guesses(self, layout: GuessLayout) -> Any:
        run = partial(run_guesses, self._model, layout, self._num_pages, self._vocab_size)
        name = f"guess_{layout.num_rows}"
        results = (specs_of(self._shapes[1]), specs_of(self._shapes[2].guesses))
        return lower_on_mesh(run, name, self._shapes, layout.size, results, donated=(1,))

    def _lower_follow(self, layout: StepLayout) -> Any:
        run = partial(run_follow, self._model, layout, self._num_pages)
        name = f"follow_{layout.bucket.tokens}_{layout.bucket.rows}"
        results = specs_of(self._shapes[1])
        return lower_on_mesh(run, name, self._shapes, layout.size, results, donated=(1,))


def _drafted(part: Part) -> list[Chunk]:
    return [chunk for chunk in part.chunks if DRAFTED in chunk.guessed_ids]
