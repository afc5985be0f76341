"""The step that is compiled for each bucket: changes, forward, sampling, in one donated call.

    (weights, history, rows, vectors) ─► (history, rows, results)     history and rows in place

The sampled ids stay in `rows.last_token`, from where the next step takes them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from radixloom_runtime.models.adapters import step_adapters
from radixloom_runtime.models.blocks import vocabulary_axis
from radixloom_runtime.models.collectives import of_all_groups, shards_of
from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import CausalLM, Model, Weights
from radixloom_runtime.ops import sampling
from radixloom_runtime.ops.attention import Ragged
from radixloom_runtime.ops.sampling import Logprobs, Vocabulary
from radixloom_runtime.ops.shards import Shards
from radixloom_runtime.runner.pooling import pool
from radixloom_runtime.runner.rows import RowState, adapter_slots, apply_changes, choice_of
from radixloom_runtime.runner.step_input import FIRST_GUESS, FROM_DEVICE, StepArrays, StepLayout
from radixloom_runtime.wire.plan import MAX_GUESSES

PROMPT_LOGPROB_BLOCK = 16
"""Prompt tokens whose logits over the whole vocabulary are in memory at once."""


class StepOutput(NamedTuple):
    """What the host may fetch; on the device, R and T are those of all groups."""

    token_ids: Int[Array, " R"]
    counts: Bool[Array, " R"]
    """False for tokens after a wrong guess."""
    logprobs: Logprobs
    prompt_logprobs: Logprobs | None
    """Mixed buckets: of `next_ids`, for each token."""
    pooled: Float[Array, "R D"] | None
    """Mixed buckets: sums of final hidden states; rubbish where no chunk asks."""
    scores: Float[Array, "R 2"] | None
    """Mixed buckets: logits of `scored_ids` after each chunk."""


def run_step(
    model: Model,
    layout: StepLayout,
    num_pages: int,
    weights: Weights,
    history: History,
    rows: RowState,
    vectors: Int[Array, "1 X"],
) -> tuple[History, RowState, StepOutput]:
    """Run one step on a device, which sees its group's part; the first three arguments are static.

    The output is that of all groups, one after another.
    """
    network = model.bind(weights)
    step = layout.unpack(vectors[0])
    rows = apply_changes(rows, step.changes)
    placed, batch = lay_out(step, rows, num_pages, layout.page_tokens)
    adapters = None
    if model.room is not None:
        adapters = step_adapters(adapter_slots(rows, placed.rows), model.room.count)
    hidden, history = network.hidden(
        placed.token_ids, placed.positions, batch, step.rows, history, adapters
    )
    shards = shards_of(vocabulary_axis(model.config))
    token_ids = placed.token_ids
    logits = _last_logits(network, hidden, step)
    rows, sampled, counts, logprobs = _sample(logits, step, token_ids, rows, shards)
    output = StepOutput(sampled, counts, logprobs, None, None, None)
    if layout.bucket.mixed:
        output = output._replace(
            prompt_logprobs=_prompt_logprobs(network, hidden, step, shards),
            pooled=pool(network, hidden, step),
            scores=sampling.logits_of(logits, step.scored_ids, shards),
        )
    return history, rows, jax.tree.map(of_all_groups, output)


class Placed(NamedTuple):
    """Tokens of a step: which, where in their request, and where in the KV pages."""

    token_ids: Int[Array, " T"]
    positions: Int[Array, " T"]
    slots: Int[Array, " T"]
    rows: Int[Array, " T"]
    """Of padding: the scratch row."""


def lay_out(
    step: StepArrays, rows: RowState, num_pages: int, page_tokens: int
) -> tuple[Placed, Ragged]:
    """Find the tokens of a step, and the batch that they make for attention."""
    placed = _place_tokens(step, rows, num_pages, page_tokens)
    return placed, Ragged(
        num_decodes=step.header.num_decodes,
        num_chunks=step.header.num_chunks,
        starts=step.starts,
        lengths=step.lengths,
        offsets=step.offsets,
        page_tables=rows.page_table[step.rows],
        slots=placed.slots,
    )


def _place_tokens(step: StepArrays, rows: RowState, num_pages: int, page_tokens: int) -> Placed:
    """Find every token's place; padding goes to the scratch page, the pool's last."""
    index = jnp.arange(step.token_ids.shape[0])
    chunk = jnp.sum(step.offsets <= index[:, None], axis=1) - 1
    live = index < step.header.num_tokens
    positions = jnp.where(live, step.starts[chunk] + index - step.offsets[chunk], 0)
    pages = rows.page_table[step.rows[chunk], positions // page_tokens]
    slots = jnp.where(live, pages, num_pages) * page_tokens + positions % page_tokens
    row = step.rows[chunk]
    guessed = rows.guesses[row, jnp.clip(FIRST_GUESS - step.token_ids, 0, MAX_GUESSES - 1)]
    token_ids = jnp.where(step.token_ids <= FIRST_GUESS, guessed, step.token_ids)
    token_ids = jnp.where(step.token_ids == FROM_DEVICE, rows.last_token[row], token_ids)
    scratch = rows.last_token.shape[0] - 1
    return Placed(token_ids, positions, slots, jnp.where(live, row, scratch))


def _last_logits(
    network: CausalLM, hidden: Float[Array, "T D"], step: StepArrays
) -> Float[Array, "R V"]:
    last = jnp.clip(step.offsets + step.lengths - 1, 0, hidden.shape[0] - 1)
    return network.logits(hidden[last])


def _sample(
    logits: Float[Array, "R V"],
    step: StepArrays,
    token_ids: Int[Array, " T"],
    rows: RowState,
    shards: Shards,
) -> tuple[RowState, Int[Array, " R"], Bool[Array, " R"], Logprobs]:
    chosen = step.sample_rows
    positions = step.starts + step.lengths
    choice = choice_of(rows, chosen)
    ids = sampling.sample(logits, choice, rows.vocabulary, chosen, positions, shards, rows.allowed)
    logprobs = jax.lax.cond(
        shards.wanted(step.header.wants_logprobs != 0),
        lambda: sampling.logprobs_of(logits, ids, shards),
        lambda: sampling.no_logprobs(len(logits), shards.size),
    )
    counts, is_newest = _settle_guesses(step, token_ids, ids)
    scratch = rows.last_token.shape[0] - 1
    place = shards.here(ids, logits.shape[-1])
    counted = rows.vocabulary.facts.at[jnp.where(counts, chosen, scratch), place].add(
        1, mode="drop"
    )
    newest = jnp.where(is_newest, chosen, scratch)
    rows = rows._replace(
        last_token=rows.last_token.at[newest].set(ids),
        vocabulary=Vocabulary(counted, rows.vocabulary.bias),
    )
    return rows, ids, counts, logprobs


def _settle_guesses(
    step: StepArrays, token_ids: Int[Array, " T"], sampled: Int[Array, " R"]
) -> tuple[Bool[Array, " R"], Bool[Array, " R"]]:
    """Tell which lines' tokens count, and which of them are their rows' newest.

    line        0     1 guess  2 guess  3 guess  4
    its token   a     b        c        d        e
    sampled     b     c        x        y        f
    counts      yes   yes      yes      no       yes      d was guessed, x is right
    newest                     yes               yes
    """
    follows = step.follows != 0
    index = jnp.arange(sampled.shape[0])
    guessed = token_ids[jnp.minimum(step.offsets, token_ids.shape[0] - 1)]
    is_wrong = follows & (guessed != jnp.roll(sampled, 1))
    num_wrong = jnp.cumsum(is_wrong)
    first_line = jax.lax.cummax(jnp.where(follows, 0, index))
    counts = num_wrong == num_wrong[first_line]
    goes_on = jnp.roll(follows & counts, -1).at[-1].set(False)
    return counts, counts & ~goes_on


def _prompt_logprobs(
    network: CausalLM, hidden: Float[Array, "T D"], step: StepArrays, shards: Shards
) -> Logprobs:
    """Score `next_ids` after each token, a block at a time; no block if nobody asked."""
    num_tokens = hidden.shape[0]
    missing = -num_tokens % PROMPT_LOGPROB_BLOCK
    hidden = jnp.pad(hidden, ((0, missing), (0, 0)))
    next_ids = jnp.pad(step.next_ids, (0, missing))

    def block(index: Array, out: Logprobs) -> Logprobs:
        first = index * PROMPT_LOGPROB_BLOCK
        part = jax.lax.dynamic_slice_in_dim(hidden, first, PROMPT_LOGPROB_BLOCK)
        ids = jax.lax.dynamic_slice_in_dim(next_ids, first, PROMPT_LOGPROB_BLOCK)
        found = sampling.logprobs_of(network.logits(part), ids, shards)
        return Logprobs(
            *(
                jax.lax.dynamic_update_slice_in_dim(all_, new, first, axis=0)
                for all_, new in zip(out, found, strict=True)
            )
        )

    empty = sampling.no_logprobs(num_tokens + missing, shards.size)
    num_blocks = shards.most(-(-step.header.num_prompt_logprobs // PROMPT_LOGPROB_BLOCK))
    return jax.lax.fori_loop(0, num_blocks, block, empty)
