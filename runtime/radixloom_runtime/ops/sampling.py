"""Choosing the next token of each row; a row's choice depends on nothing but that row.

    raw logits ─► penalties, bias, stop mask ─► / temperature ─► top-k ─► top-p ─► min-p ─► draw
        └──► logprobs (always of the raw logits)

The draw is Gumbel-max with the key (seed, position), so the same request draws the same tokens in
any batch. Each costly part stands under a `lax.cond`: a batch without need of it does not pay.

Nothing is sorted. A kept set is {token: value >= threshold}, and the threshold is found exactly by
bisection over the 32 bits of the float, with one pass over the vocabulary per bit; tokens that tie
with the last kept one are kept too.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

IN_PROMPT = 1 << 30
IS_STOP = 1 << 29
COUNT_MASK = IS_STOP - 1

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
    adjusts: Int[Array, " R"]
    """Nonzero if `facts` or `bias` of the row matter."""


class Vocabulary(NamedTuple):
    """What is kept per row and token; B rows, of which a step samples some."""

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
) -> Int[Array, " R"]:
    """Choose for each row the token at its position."""
    logits = jax.lax.cond(
        jnp.any(choice.adjusts != 0),
        lambda: adjust(logits, choice, vocabulary, rows, positions),
        lambda: logits,
    )
    greedy = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    warm = choice.temperature > 0
    return jax.lax.cond(
        jnp.any(warm),
        lambda: jnp.where(warm, _draw(logits, choice, positions), greedy),
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
    return jnp.where(choice.adjusts[:, None] != 0, changed, logits)


def _draw(
    logits: Float[Array, "R V"], choice: Choice, positions: Int[Array, " R"]
) -> Int[Array, " R"]:
    warm = choice.temperature > 0
    scaled = logits / jnp.where(warm, choice.temperature, 1.0)[:, None]
    kept = truncate(scaled, choice)
    noise = jax.vmap(_noise, in_axes=(0, 0, None))(choice.seed, positions, logits.shape[-1])
    return jnp.argmax(kept + noise, axis=-1).astype(jnp.int32)


def _noise(seed: Array, position: Array, size: int) -> Float[Array, " V"]:
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), position)
    return jax.random.gumbel(key, (size,), jnp.float32)


def truncate(logits: Float[Array, "R V"], choice: Choice) -> Float[Array, "R V"]:
    """Set the logits of tokens that may not be drawn to -inf: top-k, then top-p, then min-p."""
    logits = _if_any(choice.top_k > 0, _keep_top_k, logits, choice)
    logits = _if_any(choice.top_p < 1, _keep_top_p, logits, choice)
    return _if_any(choice.min_p > 0, _keep_min_p, logits, choice)


def _if_any(
    wanted: Bool[Array, " R"],
    keep: Callable[[Array, Choice], Bool[Array, "R V"]],
    logits: Float[Array, "R V"],
    choice: Choice,
) -> Float[Array, "R V"]:
    def apply() -> Array:
        return jnp.where(keep(logits, choice) | ~wanted[:, None], logits, -jnp.inf)

    return jax.lax.cond(jnp.any(wanted), apply, lambda: logits)


def _keep_top_k(logits: Float[Array, "R V"], choice: Choice) -> Bool[Array, "R V"]:
    one_each = jnp.ones_like(logits)
    return _heaviest(logits, one_each, jnp.clip(choice.top_k, 1, logits.shape[-1]))


def _keep_top_p(logits: Float[Array, "R V"], choice: Choice) -> Bool[Array, "R V"]:
    return _heaviest(logits, jax.nn.softmax(logits, axis=-1), choice.top_p)


def _keep_min_p(logits: Float[Array, "R V"], choice: Choice) -> Bool[Array, "R V"]:
    least = jnp.max(logits, axis=-1, keepdims=True) + jnp.log(choice.min_p)[:, None]
    return logits >= least


def _heaviest(
    logits: Float[Array, "R V"], mass: Float[Array, "R V"], target: Array
) -> Bool[Array, "R V"]:
    """Keep the fewest greatest logits whose mass reaches `target`, and the ties of the last."""
    order = _sortable(logits)
    target = target.astype(jnp.float32)

    def add_bit(index: Array, threshold: UInt[Array, " R"]) -> UInt[Array, " R"]:
        higher = threshold | (jnp.uint32(1) << (31 - index).astype(jnp.uint32))
        reached = jnp.sum(jnp.where(order >= higher[:, None], mass, 0.0), axis=-1) >= target
        return jnp.where(reached, higher, threshold)

    lowest = jnp.zeros(logits.shape[0], jnp.uint32)
    return order >= jax.lax.fori_loop(0, 32, add_bit, lowest)[:, None]


def _sortable(values: Float[Array, "R V"]) -> UInt[Array, "R V"]:
    """Map floats to integers of the same order."""
    bits = jax.lax.bitcast_convert_type(values + 0.0, jnp.uint32)  # + 0.0 makes -0 to 0
    return jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))


def logprobs_of(logits: Float[Array, "R V"], chosen: Int[Array, " R"]) -> Logprobs:
    """Natural-log probabilities of `chosen` and of the most likely tokens."""
    normalizer = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    of_chosen = jnp.take_along_axis(logits, chosen[:, None], axis=-1) - normalizer
    top, top_ids = jax.lax.top_k(logits, min(MAX_TOP, logits.shape[-1]))
    return Logprobs(of_chosen[:, 0], top_ids.astype(jnp.int32), top - normalizer)


def no_logprobs(num_rows: int, vocab_size: int) -> Logprobs:
    """Stand in where none were asked for."""
    width = min(MAX_TOP, vocab_size)
    return Logprobs(
        jnp.zeros(num_rows, jnp.float32),
        jnp.zeros((num_rows, width), jnp.int32),
        jnp.zeros((num_rows, width), jnp.float32),
    )
