"""Choosing the next token of each row; a row's choice depends on nothing but that row.

    raw logits ─► penalties, bias, stop mask ─► what a grammar allows ─► / temperature ─►
        │                                           top-k ─► top-p ─► min-p ─► draw
        └──► logprobs (always of the raw logits)

The draw is Gumbel-max with the key (seed, position), so the same request draws the same tokens in
any batch. Each costly part stands under a `lax.cond`: a batch without need of it does not pay.

The vocabulary may lie on several devices (`ops.shards`): each works on its own part of the logits,
and only numbers of a row are exchanged, never the logits. What a token draws is noise of its own,
so it does not matter where it lies.

Nothing is sorted. A kept set is {token: value >= threshold}, and the threshold is found exactly by
bisection over the 32 bits of the float, with one pass over the vocabulary per bit; tokens that tie
with the last kept one are kept too.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Int, UInt

from radixloom_runtime.ops.shards import Shards

IN_PROMPT = 1 << 30
IS_STOP = 1 << 29
COUNT_MASK = IS_STOP - 1

ADJUSTS = 1
"""Flag of a row: its `facts` or `bias` matter."""
GUIDED = 2
"""Flag of a row: it samples only what is allowed."""
WORD_BITS = 32

_SIGN_AND_EXPONENT_BITS = 9
_BITS_OF_ONE = 0x3F800000
"""Of 1.0 as float32; below are the 23 bits of its mantissa."""

MAX_TOP = 20
"""How many of the most likely tokens are reported."""


class Choice(NamedTuple):
    """How each row chooses; scalars of `wire.messages.Sampling`."""

    temperature: Float[Array, " R"]
    top_p: Float[Array, " R"]
    min_p: Float[Array, " R"]
    presence_penalty: Float[Array, " R"]
    frequency_penalty: Float[Array, " R"]
    repetition_penalty: Float[Array, " R"]
    seed: UInt[Array, " R"]
    top_k: Int[Array, " R"]
    min_position: Int[Array, " R"]
    flags: Int[Array, " R"]
    """`ADJUSTS` and `GUIDED`."""

    def has(self, flag: int) -> Bool[Array, " R"]:
        """Tell of each row whether a flag is set."""
        return self.flags & flag != 0


class Vocabulary(NamedTuple):
    """What is kept per row and token of this device; B rows, of which a step samples some."""

    facts: Int[Array, "B V"]
    """Output count | IN_PROMPT | IS_STOP."""
    bias: Float[Array, "B V"]


class Logprobs(NamedTuple):
    """Of the raw logits."""

    chosen: Float[Array, " R"]
    top_ids: Int[Array, "R 20"]
    top: Float[Array, "R 20"]


def sample(
    logits: Float[Array, "R V"],
    choice: Choice,
    vocabulary: Vocabulary,
    rows: Int[Array, " R"],
    positions: Int[Array, " R"],
    shards: Shards | None = None,
    allowed: Int[Array, "B W"] | None = None,
) -> Int[Array, " R"]:
    """Choose for each row the token at its position; `shards` where logits are only a part.

    `allowed`: what guided rows may choose; None where no row is guided.
    """
    shards = shards or Shards(logits.shape[-1])

    def change() -> Array:
        changed = adjust(logits, choice, vocabulary, rows, positions)
        return changed if allowed is None else only_allowed(changed, choice, allowed[rows], shards)

    changed = jax.lax.cond(jnp.any(choice.flags != 0), change, lambda: logits)
    return _choose(changed, choice, positions, shards)


def only_allowed(
    logits: Float[Array, "R V"], choice: Choice, allowed: Int[Array, "R W"], shards: Shards
) -> Float[Array, "R V"]:
    """Set the logits of tokens that guided rows may not choose to -inf."""
    bits = (allowed[:, :, None] >> jnp.arange(WORD_BITS)) & 1
    bits = bits.reshape(len(allowed), -1)
    here = jax.lax.dynamic_slice_in_dim(bits, shards.first, logits.shape[-1], axis=1)
    return jnp.where((here != 0) | ~choice.has(GUIDED)[:, None], logits, -jnp.inf)


def _choose(
    logits: Float[Array, "R V"], choice: Choice, positions: Int[Array, " R"], shards: Shards
) -> Int[Array, " R"]:
    greedy = shards.argmax(logits)
    warm = choice.temperature > 0
    return jax.lax.cond(
        shards.wanted(warm),
        lambda: jnp.where(warm, _draw(logits, choice, positions, shards), greedy),
        lambda: greedy,
    )


def adjust(
    logits: Float[Array, "R V"],
    choice: Choice,
    vocabulary: Vocabulary,
    rows: Int[Array, " R"],
    positions: Int[Array, " R"],
) -> Float[Array, "R V"]:
    """Apply penalties, bias and the stop mask of the rows that have any."""
    facts = vocabulary.facts[rows]
    counts = facts & COUNT_MASK
    in_output = counts > 0
    penalty = choice.repetition_penalty[:, None]
    repeated = jnp.where(logits > 0, logits / penalty, logits * penalty)
    changed = jnp.where(in_output | (facts & IN_PROMPT != 0), repeated, logits)
    changed -= choice.frequency_penalty[:, None] * counts
    changed -= choice.presence_penalty[:, None] * in_output
    changed += vocabulary.bias[rows]
    too_early = (positions < choice.min_position)[:, None] & (facts & IS_STOP != 0)
    changed = jnp.where(too_early, -jnp.inf, changed)
    return jnp.where(choice.has(ADJUSTS)[:, None], changed, logits)


def _draw(
    logits: Float[Array, "R V"], choice: Choice, positions: Int[Array, " R"], shards: Shards
) -> Int[Array, " R"]:
    warm = choice.temperature > 0
    scaled = logits / jnp.where(warm, choice.temperature, 1.0)[:, None]
    kept = truncate(scaled, choice, shards)
    token_ids = shards.indices(logits.shape[-1]).astype(jnp.uint32)
    noise = jax.vmap(gumbel, in_axes=(0, 0, None))(choice.seed, positions, token_ids)
    return shards.argmax(kept + noise)


def gumbel(seed: Array, position: Array, token_ids: UInt[Array, " V"]) -> Float[Array, " V"]:
    """Return the noise of these tokens: what `jax.random.gumbel` gives the whole vocabulary."""
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), position)
    counters = jnp.concatenate([jnp.zeros_like(token_ids), token_ids])
    first, second = jnp.split(threefry_2x32(jax.random.key_data(key), counters), 2)
    mantissa = (first ^ second) >> _SIGN_AND_EXPONENT_BITS
    one_to_two = jax.lax.bitcast_convert_type(mantissa | _BITS_OF_ONE, jnp.float32)
    least = jnp.finfo(jnp.float32).tiny
    uniform = jnp.maximum(least, (one_to_two - 1.0) * (1.0 - least) + least)
    return -jnp.log(-jnp.log(uniform))


def truncate(
    logits: Float[Array, "R V"], choice: Choice, shards: Shards | None = None
) -> Float[Array, "R V"]:
    """Set the logits of tokens that may not be drawn to -inf: top-k, then top-p, then min-p."""
    shards = shards or Shards(logits.shape[-1])
    logits = _if_any(choice.top_k > 0, _keep_top_k, logits, choice, shards)
    logits = _if_any(choice.top_p < 1, _keep_top_p, logits, choice, shards)
    return _if_any(choice.min_p > 0, _keep_min_p, logits, choice, shards)


def _if_any(
    wanted: Bool[Array, " R"],
    keep: Callable[[Array, Choice, Shards], Bool[Array, "R V"]],
    logits: Float[Array, "R V"],
    choice: Choice,
    shards: Shards,
) -> Float[Array, "R V"]:
    def apply() -> Array:
        return jnp.where(keep(logits, choice, shards) | ~wanted[:, None], logits, -jnp.inf)

    return jax.lax.cond(shards.wanted(wanted), apply, lambda: logits)


def _keep_top_k(logits: Float[Array, "R V"], choice: Choice, shards: Shards) -> Bool[Array, "R V"]:
    one_each = jnp.ones_like(logits)
    return _heaviest(logits, one_each, jnp.clip(choice.top_k, 1, shards.size), shards)


def _keep_top_p(logits: Float[Array, "R V"], choice: Choice, shards: Shards) -> Bool[Array, "R V"]:
    above_zero = jnp.exp(logits - _largest(logits, shards))
    total = shards.total(jnp.sum(above_zero, axis=-1, keepdims=True))
    return _heaviest(logits, above_zero / total, choice.top_p, shards)


def _keep_min_p(logits: Float[Array, "R V"], choice: Choice, shards: Shards) -> Bool[Array, "R V"]:
    return logits >= _largest(logits, shards) + jnp.log(choice.min_p)[:, None]


def _largest(logits: Float[Array, "R V"], shards: Shards) -> Float[Array, "R 1"]:
    return shards.largest(jnp.max(logits, axis=-1, keepdims=True))


def _heaviest(
    logits: Float[Array, "R V"], mass: Float[Array, "R V"], target: Array, shards: Shards
) -> Bool[Array, "R V"]:
    """Keep the fewest greatest logits whose mass reaches `target`, and the ties of the last."""
    order = _sortable(logits)
    target = target.astype(jnp.float32)

    def add_bit(index: Array, threshold: UInt[Array, " R"]) -> UInt[Array, " R"]:
        higher = threshold | (jnp.uint32(1) << (31 - index).astype(jnp.uint32))
        heavy = jnp.sum(jnp.where(order >= higher[:, None], mass, 0.0), axis=-1)
        return jnp.where(shards.total(heavy) >= target, higher, threshold)

    lowest = jnp.zeros(logits.shape[0], jnp.uint32)
    return order >= jax.lax.fori_loop(0, 32, add_bit, lowest)[:, None]


def _sortable(values: Float[Array, "R V"]) -> UInt[Array, "R V"]:
    """Map floats to integers of the same order."""
    bits = jax.lax.bitcast_convert_type(values + 0.0, jnp.uint32)  # + 0.0 makes -0 to 0
    return jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))


def logprobs_of(
    logits: Float[Array, "R V"], chosen: Int[Array, " R"], shards: Shards | None = None
) -> Logprobs:
    """Natural-log probabilities of `chosen` and of the most likely tokens."""
    shards = shards or Shards(logits.shape[-1])
    largest = _largest(logits, shards)
    total = shards.total(jnp.sum(jnp.exp(logits - largest), axis=-1, keepdims=True))
    normalizer = largest + jnp.log(total)
    place = shards.here(chosen, logits.shape[-1])[:, None]
    of_chosen = jnp.take_along_axis(logits, place, axis=-1, mode="fill", fill_value=0.0)
    top, top_ids = _top(logits, shards)
    return Logprobs((shards.total(of_chosen) - normalizer)[:, 0], top_ids, top - normalizer)


def logits_of(
    logits: Float[Array, "R V"], token_ids: Int[Array, "R K"], shards: Shards
) -> Float[Array, "R K"]:
    """Gather the logits of chosen tokens of each row."""
    places = shards.here(token_ids, logits.shape[-1])
    here = jnp.take_along_axis(logits, places, axis=-1, mode="fill", fill_value=0.0)
    return shards.total(here)


def _top(logits: Float[Array, "R V"], shards: Shards) -> tuple[Array, Array]:
    """Return the most likely tokens; of equally likely ones, the first."""
    here, places = jax.lax.top_k(logits, min(MAX_TOP, logits.shape[-1]))
    token_ids = (places + shards.first).astype(jnp.int32)
    if not shards.axes:
        return here, token_ids
    top, among = jax.lax.top_k(shards.side_by_side(here), min(MAX_TOP, shards.size))
    return top, jnp.take_along_axis(shards.side_by_side(token_ids), among, axis=-1)


def no_logprobs(num_rows: int, vocab_size: int) -> Logprobs:
    """Stand in where none were asked for."""
    width = min(MAX_TOP, vocab_size)
    return Logprobs(
        jnp.zeros(num_rows, jnp.float32),
        jnp.zeros((num_rows, width), jnp.int32),
        jnp.zeros((num_rows, width), jnp.float32),
    )
