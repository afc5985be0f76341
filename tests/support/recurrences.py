"""What linear attention is defined as, token by token, in numpy and float64."""

from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

ROWS, SCRATCH, TOKENS = 3, 3, 100
"""Of every step that is drawn; a batch has ROWS lines."""

Step = list[tuple[int, bool, int]]
"""Chunks: row, whether a request begins, tokens."""


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """A few steps: each row does nothing, goes on by one token or more, or begins anew."""
    drawn: list[Step] = []
    for _ in range(draw(st.integers(1, 4))):
        rows = draw(st.permutations(range(ROWS)))[: draw(st.integers(1, ROWS))]
        step: Step = []
        left = TOKENS
        for row in rows:
            length = draw(st.just(1) | st.integers(1, 20) | st.integers(1, TOKENS))
            if length <= left:
                step.append((row, draw(st.booleans()), length))
                left -= length
        drawn.append(sorted(step, key=lambda chunk: chunk[2] > 1))
    return drawn


def advance(
    state: Doubles, query: Doubles, key: Doubles, value: Doubles, decay: Doubles, beta: float
) -> tuple[Doubles, Doubles]:
    """One token of one head; returns what it reads, and the state after it."""
    state = state * np.exp(decay)[:, None]
    state = state + np.outer(key, beta * (value - key @ state))
    return query @ state, state


@dataclass
class Rows:
    """How long each row's request is, and what is kept for it."""

    kept: dict[int, Doubles] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)

    def place(self, step: Step) -> list[tuple[int, int, int]]:
        """Give the chunks of a step their start."""
        placed: list[tuple[int, int, int]] = []
        for row, begins, length in step:
            start = 0 if begins else self.lengths.get(row, 0)
            self.lengths[row] = start + length
            placed.append((row, start, length))
        return placed
