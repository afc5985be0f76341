"""What a draft model computes beside a step: guesses before it, and then the step's own tokens.

    guess     rows that are to guess:  last token ─► draft ─► guess 1 ─► draft ─► guess 2 ...
    follow    all tokens of the step, guesses included, into the draft model's pages

Its pages have the ids of the target's: whatever a page holds for one holds it for the other, also
when another request finds it in the cache. So wherever the target writes, the draft model follows,
and nobody keeps a second book.

Rounds are a loop inside one compiled call, and the step takes the guesses from `rows.guesses`, so
that no guess goes through the host. A guess is sampled as its token will be, with the row's own
parameters and the same noise (seed, position): the likelier is it the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from radixloom_runtime.models.blocks import vocabulary_axis
from radixloom_runtime.models.collectives import shards_of
from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.ops import sampling
from radixloom_runtime.ops.attention import Ragged
from radixloom_runtime.runner.parts import Part
from radixloom_runtime.runner.rows import (
    GRANT_WIDTH,
    RowState,
    apply_changes,
    choice_of,
    grant_pages,
)
from radixloom_runtime.runner.step import lay_out
from radixloom_runtime.runner.step_input import FAR, StepLayout
from radixloom_runtime.wire.plan import MAX_GUESSES, Chunk, Int32s

_HEADER = 2
_LINES = 3


class GuessArrays(NamedTuple):
    """The unpacked input of `run_guesses`, for up to D rows."""

    num_rows: Int[Array, ""]
    num_rounds: Int[Array, ""]
    """The same in all groups: where devices tell each other something, all do."""
    rows: Int[Array, " D"]
    starts: Int[Array, " D"]
    """Position of the row's last token."""
    counts: Int[Array, " D"]
    """Guesses wanted."""
    grants: Int[Array, "G 3"]


@dataclass(frozen=True)
class GuessLayout:
    """Where everything lies in the vector of `run_guesses`."""

    num_rows: int
    page_tokens: int
    max_rows: int

    @cached_property
    def max_grants(self) -> int:
        """Pages for a row's last token and its guesses, wherever they begin in a page."""
        return self.num_rows * (2 + MAX_GUESSES // self.page_tokens)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return _HEADER + _LINES * self.num_rows + GRANT_WIDTH * self.max_grants

    def pack(self, chunks: Sequence[Chunk], part: Part, num_rounds: int) -> Int32s:
        """Make a group's vector: the chunks that want guesses, and their rows' new pages."""
        vector = np.zeros(self.size, np.int32)
        vector[:_HEADER] = len(chunks), num_rounds
        lines = vector[_HEADER : _HEADER + _LINES * self.num_rows].reshape(_LINES, -1)
        lines[0].fill(self.max_rows)
        for i, chunk in enumerate(chunks):
            lines[:, i] = chunk.row - part.first_row, chunk.start, len(chunk.guessed_ids)
        grants = part.grants[np.isin(part.grants[:, 0], lines[0, : len(chunks)])]
        granted = vector[_HEADER + lines.size :]
        granted.fill(FAR)
        granted[: grants.size] = grants.ravel()
        return vector

    def unpack(self, vector: Int[Array, " X"]) -> GuessArrays:
        """Name the parts; inside jit."""
        end = _HEADER + _LINES * self.num_rows
        lines = vector[_HEADER:end].reshape(_LINES, -1)
        rows, starts, counts = lines
        grants = vector[end:].reshape(-1, GRANT_WIDTH)
        return GuessArrays(vector[0], vector[1], rows, starts, counts, grants)


def run_guesses(
    model: Model,
    layout: GuessLayout,
    num_pages: int,
    vocab_size: int,
    weights: Weights,
    history: History,
    rows: RowState,
    vectors: Int[Array, "1 X"],
) -> tuple[History, Int[Array, "B 16"]]:
    """Guess for some rows; returns `rows.guesses` with what was guessed.

    `vocab_size` is the target's. A row that wants fewer guesses than others repeats its last round,
    which changes nothing.
    """
    network = model.bind(weights)
    wanted = layout.unpack(vectors[0])
    table = grant_pages(rows.page_table, wanted.grants)[wanted.rows]
    choice = choice_of(rows, wanted.rows)
    line = jnp.arange(layout.num_rows)
    own, sampled = vocabulary_axis(model.config), Axis("vocab", vocab_size)
    shards = shards_of(sampled)
    live = line < wanted.num_rows

    def guess_next(number: Array, carry: tuple[History, Array]) -> tuple[History, Array]:
        history, tokens = carry
        place = jnp.minimum(number, wanted.counts)
        positions = wanted.starts + place
        pages = jnp.where(live, table[line, positions // layout.page_tokens], num_pages)
        batch = Ragged(
            num_decodes=wanted.num_rows,
            num_chunks=wanted.num_rows,
            starts=positions,
            lengths=jnp.ones_like(line),
            offsets=line,
            page_tables=table,
            slots=pages * layout.page_tokens + positions % layout.page_tokens,
        )
        hidden, history = network.hidden(
            tokens[line, place], positions, batch, wanted.rows, history
        )
        logits = network.logits(hidden)
        if own != sampled:
            logits = _cut_anew(logits, own, sampled, rows.vocabulary.bias.shape[1])
        ids = sampling.sample(logits, choice, rows.vocabulary, wanted.rows, positions + 1, shards)
        return history, tokens.at[line, place + 1].set(ids)

    tokens = jnp.zeros((layout.num_rows, MAX_GUESSES + 2), jnp.int32)
    tokens = tokens.at[:, 0].set(rows.last_token[wanted.rows])
    history, tokens = jax.lax.fori_loop(0, wanted.num_rounds, guess_next, (history, tokens))
    return history, rows.guesses.at[wanted.rows].set(tokens[:, 1 : 1 + MAX_GUESSES])


def _cut_anew(
    logits: Float[Array, "D V"], own: Axis, sampled: Axis, num_here: int
) -> Float[Array, "D W"]:
    """Lay scores out as those of the target: checkpoints pad one vocabulary to different sizes."""
    whole = shards_of(own).side_by_side(logits)[:, : min(own.size, sampled.size)]
    missing = sampled.size + num_here - whole.shape[1]
    padded = jnp.pad(whole, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    return jax.lax.dynamic_slice_in_dim(padded, shards_of(sampled).first, num_here, axis=1)


def run_follow(
    model: Model,
    layout: StepLayout,
    num_pages: int,
    weights: Weights,
    history: History,
    rows: RowState,
    vectors: Int[Array, "1 X"],
) -> History:
    """Compute the tokens of a step, before it runs, for nothing but their keys and values."""
    network = model.bind(weights)
    step = layout.unpack(vectors[0])
    rows = apply_changes(rows, step.changes)
    placed, batch = lay_out(step, rows, num_pages, layout.page_tokens)
    _, history = network.hidden(placed.token_ids, placed.positions, batch, step.rows, history)
    return history
