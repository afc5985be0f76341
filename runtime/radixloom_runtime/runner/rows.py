"""What the device keeps for each batch row between steps, and how the host changes it.

    RowStart, PageGrant ──pack──► one int32 vector ──apply──► RowState (on device, in place)

A step carries a few changes inside its own input; more of them go ahead in calls of their own.
Dense state (a row's token counts and biases over the vocabulary) is written only for requests
that have use of it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from radixloom_runtime.models.collectives import num_shards, shards_of
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.ops.sampling import (
    ADJUSTS,
    GUIDED,
    IN_PROMPT,
    IS_STOP,
    WORD_BITS,
    Choice,
    Vocabulary,
)
from radixloom_runtime.runner.mesh import cut_by_tokens, of_groups, shape_of
from radixloom_runtime.wire.messages import Sampling
from radixloom_runtime.wire.plan import MAX_GUESSES, Int32s, Limits, PageGrant, RowMask, RowStart

NUM_FLOATS = 6
NUM_INTS = 4
START_WIDTH = 1 + NUM_FLOATS + NUM_INTS
GRANT_WIDTH = 3

_SLOT_SHIFT = 8
"""Above the flags of a row, how it samples, its adapter's slot."""

DENSE_IDS = 512
"""Token ids that one call of `write_dense` takes; a longer history takes several."""


class RowState(NamedTuple):
    """B rows and one more, the scratch row, that padding reads and writes; so for each group."""

    page_table: Int[Array, "B P"]
    last_token: Int[Array, " B"]
    guesses: Int[Array, "B 16"]
    """What the draft model guesses to come after it, for the next step to verify."""
    floats: Float[Array, "B 6"]
    ints: Int[Array, "B 4"]
    vocabulary: Vocabulary
    allowed: Int[Array, "B W"]
    """Of guided rows: a bit a token of the whole vocabulary, the lowest of a word first."""


class Changes(NamedTuple):
    """Unpacked changes to a group's rows; lines with a row out of range are padding."""

    starts: Int[Array, "*g S 11"]
    grants: Int[Array, "*g G 3"]


def initial_state(max_rows: int, table_pages: int, vocab_size: int, num_groups: int) -> RowState:
    """Make rows that sample greedily into nowhere; scratch rows stay so."""
    rows = num_groups * (max_rows + 1)
    floats = np.zeros((rows, NUM_FLOATS), np.float32)
    floats[:, 1] = floats[:, 5] = 1.0
    return RowState(
        page_table=jnp.zeros((rows, table_pages), jnp.int32),
        last_token=jnp.zeros(rows, jnp.int32),
        guesses=jnp.zeros((rows, MAX_GUESSES), jnp.int32),
        floats=jnp.asarray(floats),
        ints=jnp.zeros((rows, NUM_INTS), jnp.int32),
        vocabulary=Vocabulary(
            facts=jnp.zeros((rows, vocab_size), jnp.int32),
            bias=jnp.zeros((rows, vocab_size), jnp.float32),
        ),
        allowed=jnp.zeros((rows, -(-vocab_size // WORD_BITS)), jnp.int32),
    )


def make_rows(mesh: Mesh, max_rows: int, table_pages: int, vocab_size: int) -> RowState:
    """Allocate a group's rows on its devices; of the vocabulary, each has what it scores."""
    make, shapes = _made(mesh, max_rows, table_pages, vocab_size)
    return jax.jit(make, out_shardings=jax.tree.map(_sharding, shapes))()


def row_shapes(mesh: Mesh, max_rows: int, table_pages: int, vocab_size: int) -> RowState:
    """Return the shapes of `make_rows`, and how they lie on the mesh."""
    return _made(mesh, max_rows, table_pages, vocab_size)[1]


def _made(
    mesh: Mesh, max_rows: int, table_pages: int, vocab_size: int
) -> tuple[Callable[[], RowState], RowState]:
    """Return what makes rows, and its shapes as they lie on the mesh."""
    axis, num_shards = Axis("vocab", vocab_size), shape_of(mesh).num_shards("vocab")
    columns = axis.local_size(num_shards) * num_shards
    make = partial(initial_state, max_rows, table_pages, columns, shape_of(mesh).data)
    shapes = jax.eval_shape(make)

    def placed(shape: Any, sharding: NamedSharding) -> Any:
        return shape.update(sharding=sharding)

    whole = jax.tree.map(partial(placed, sharding=of_groups(mesh, 0)), shapes)
    cut = partial(placed, sharding=cut_by_tokens(mesh))
    return make, whole._replace(vocabulary=jax.tree.map(cut, shapes.vocabulary))


def _sharding(shape: Any) -> NamedSharding:
    return shape.sharding


def apply_changes(state: RowState, changes: Changes) -> RowState:
    """Start rows and grant pages."""
    started = changes.starts[:, 0]
    floats = changes.starts[:, 1 : 1 + NUM_FLOATS]
    return state._replace(
        page_table=grant_pages(state.page_table, changes.grants),
        floats=state.floats.at[started].set(
            jax.lax.bitcast_convert_type(floats, jnp.float32), mode="drop"
        ),
        ints=state.ints.at[started].set(changes.starts[:, 1 + NUM_FLOATS :], mode="drop"),
    )


def grant_pages(page_table: Int[Array, "B P"], grants: Int[Array, "G 3"]) -> Int[Array, "B P"]:
    """Add pages to rows."""
    row, index, page = grants.T
    return page_table.at[row, index].set(page, mode="drop")


def choice_of(state: RowState, rows: Int[Array, " R"]) -> Choice:
    """Gather how `rows` sample."""
    floats, ints = state.floats[rows].T, state.ints[rows].T
    return Choice(
        *floats,
        seed=jax.lax.bitcast_convert_type(ints[0], jnp.uint32),
        top_k=ints[1],
        min_position=ints[2],
        flags=ints[3] & ((1 << _SLOT_SHIFT) - 1),
    )


def adapter_slots(state: RowState, rows: Int[Array, " T"]) -> Int[Array, " T"]:
    """Gather the slots of the adapters that `rows` have; 0 for none."""
    return state.ints[rows, 3] >> _SLOT_SHIFT


def write_dense(
    vocabulary: Vocabulary,
    row: Int[Array, ""],
    clear: Int[Array, ""],
    kinds: Int[Array, " I"],
    token_ids: Int[Array, " I"],
    biases: Float[Array, " I"],
) -> Vocabulary:
    """Add `kinds` (IN_PROMPT, IS_STOP, or 1 for one more output) and biases to tokens of a row.

    Ids out of range are padding; a row out of range: nothing is written in this group. Repeated
    IN_PROMPT must not carry into other bits: the host sends each (token, IN_PROMPT) once.
    """
    keep, columns = 1 - clear, vocabulary.facts.shape[1]
    places = shards_of(Axis("vocab", num_shards("vocab") * columns)).here(token_ids, columns)
    facts = (vocabulary.facts[row] * keep).at[places].add(kinds, mode="drop")
    bias = (vocabulary.bias[row] * keep).at[places].add(biases, mode="drop")
    return Vocabulary(
        vocabulary.facts.at[row].set(facts, mode="drop"),
        vocabulary.bias.at[row].set(bias, mode="drop"),
    )


def write_masks(
    allowed: Int[Array, "B W"], rows: Int[Array, " M"], masks: Int[Array, "M W"]
) -> Int[Array, "B W"]:
    """Replace the masks of rows; rows out of range are padding."""
    return allowed.at[rows].set(masks, mode="drop")


def pack_masks(
    masks: Sequence[RowMask], num_words: int, num_lines: int, limits: Limits
) -> tuple[Int32s, Int32s]:
    """Write masks as the arguments of `write_masks`, stacked over groups [g, M] and [g, M, W]."""
    rows = np.full((limits.num_groups, num_lines), np.iinfo(np.int32).max, np.int32)
    words = np.zeros((limits.num_groups, num_lines, num_words), np.int32)
    as_bytes = words.view(np.uint8)
    used = [0] * limits.num_groups
    for mask in masks:
        group = limits.group_of_row(mask.row)
        line, used[group] = used[group], used[group] + 1
        rows[group, line] = mask.row - group * limits.max_rows
        bits = np.frombuffer(mask.allowed, np.uint8)[: as_bytes.shape[-1]]
        as_bytes[group, line, : len(bits)] = bits
    return rows, words


def pack_starts(starts: Sequence[RowStart], first_row: int) -> Int32s:
    """Write starts as lines of `Changes.starts`; rows are counted from `first_row` on."""
    lines = np.array([_pack_start(start) for start in starts], np.int32).reshape(-1, START_WIDTH)
    lines[:, 0] -= first_row
    return lines


def _pack_start(start: RowStart) -> Int32s:
    s = start.sampling
    line = np.empty(START_WIDTH, np.int32)
    line[0] = start.row
    line[1 : 1 + NUM_FLOATS] = np.array(
        (
            s.temperature,
            s.top_p,
            s.min_p,
            s.presence_penalty,
            s.frequency_penalty,
            s.repetition_penalty,
        ),
        np.float32,
    ).view(np.int32)
    line[1 + NUM_FLOATS] = np.array(s.seed, np.uint32).view(np.int32)
    flags = ADJUSTS * needs_dense(start) | GUIDED * start.is_guided
    flags |= start.adapter_slot << _SLOT_SHIFT
    line[2 + NUM_FLOATS :] = s.top_k, start.min_position, flags
    return line


def pack_grants(grants: Sequence[PageGrant], first_row: int, first_page: int) -> Int32s:
    """Write grants as lines of `Changes.grants`, as a group counts its rows and pages."""
    lines = [
        (grant.row, grant.first_index + i, page)
        for grant in grants
        for i, page in enumerate(grant.page_ids)
    ]
    return np.array(lines, np.int32).reshape(-1, GRANT_WIDTH) - (first_row, 0, first_page)


def needs_dense(start: RowStart) -> bool:
    """Whether the row's counts or biases matter."""
    return (
        _penalizes(start.sampling)
        or bool(start.sampling.logit_bias)
        or (bool(start.stop_token_ids) and start.min_position > start.prompt_length)
    )


def _penalizes(s: Sampling) -> bool:
    return s.presence_penalty != 0 or s.frequency_penalty != 0 or s.repetition_penalty != 1


class DensePiece(NamedTuple):
    """Arguments of one `write_dense` call after the vocabulary."""

    row: np.int32
    clear: np.int32
    kinds: Int32s
    token_ids: Int32s
    biases: np.ndarray


def dense_pieces(start: RowStart, row: int) -> Iterator[DensePiece]:
    """Cut a row's history, stop ids and biases into calls; the first one clears the row."""
    entries = _dense_entries(start)
    for first in range(0, max(1, len(entries)), DENSE_IDS):
        part = entries[first : first + DENSE_IDS]
        kinds = np.zeros(DENSE_IDS, np.int32)
        token_ids = np.full(DENSE_IDS, np.iinfo(np.int32).max, np.int32)
        biases = np.zeros(DENSE_IDS, np.float32)
        if part:
            ids, what, bias = zip(*part, strict=True)
            token_ids[: len(part)], kinds[: len(part)], biases[: len(part)] = ids, what, bias
        yield DensePiece(np.int32(row), np.int32(first == 0), kinds, token_ids, biases)


def in_group(piece: DensePiece, group: int, num_groups: int) -> list[np.ndarray]:
    """Stack what all groups are given when only one of them has anything to write."""
    nothing = piece._replace(row=np.int32(np.iinfo(np.int32).max))
    pieces = [piece if each == group else nothing for each in range(num_groups)]
    return [np.stack(parts) for parts in zip(*pieces, strict=True)]


def _dense_entries(start: RowStart) -> list[tuple[int, int, float]]:
    prompt = set(start.history_ids[: start.prompt_length])
    entries = [(token, IN_PROMPT, 0.0) for token in sorted(prompt)]
    entries += [(token, 1, 0.0) for token in start.history_ids[start.prompt_length :]]
    entries += [(token, IS_STOP, 0.0) for token in sorted(set(start.stop_token_ids))]
    entries += [(token, 0, bias) for token, bias in start.sampling.logit_bias.items()]
    return entries
