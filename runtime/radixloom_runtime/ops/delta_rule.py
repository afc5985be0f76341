"""The gated delta rule over a ragged batch: linear attention with one state for each batch row.

A head's state S [Hk, Hv] maps keys to values. Each token first lets it fade, then corrects what it
says about the token's key, and then reads it:

    S ← exp(decay) * S             a number for each row of S, or one for all of them
    S ← S + key ⊗ beta * (value - key S)
    out = query S

Chunks of one token do just that. Longer ones go in blocks, in order, each as matrix products. With
G the running sum of a block's decays, and S what the block begins with:

    among[i, j] = Σ keys[i] keys[j] exp(G[i] - G[j])                            for j < i
    (1 + beta among) W = beta * (values - (keys exp(G)) S)     W: what is written; a triangle
    out = (queries exp(G)) S + (queries · keys exp(G[i] - G[j])) W              for j ≤ i
    S ← exp(G[last]) S + (keys exp(G[last] - G))ᵀ W

No exponent is ever positive. Memory is that of a block, whatever the step's length; the work grows
with the live tokens. A row's state counts as zero for a chunk that starts at position 0; padding
reads and writes the scratch row, the last. What comes out for padding is zero.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from radixloom_runtime.ops.attention import Ragged

ROWS_AT_ONCE = 8
"""Single tokens that are computed together: so many states are in memory twice."""
BLOCK_OF_SCALARS = 64
BLOCK_OF_VECTORS = 16
"""Tokens of a block; a decay for each number of a key has to be compared pair by pair."""

_EXACT = jax.lax.Precision.HIGHEST  # an error in a state stays there


class DeltaTokens(NamedTuple):
    """A step's tokens, all in float32; N value heads share K = N / n heads of queries and keys."""

    queries: Float[Array, "T K Hk"]
    keys: Float[Array, "T K Hk"]
    values: Float[Array, "T N Hv"]
    decays: Float[Array, "T N Hk"]
    """Logarithms, ≤ 0. The last axis may be 1: one decay for a head."""
    betas: Float[Array, "T N"]


class States(NamedTuple):
    """Where the states of a step's chunks are: `all[layer, rows[chunk]]`."""

    all: Float[Array, "L B N Hk Hv"]
    layer: Int[Array, ""]
    rows: Int[Array, " R"]


def delta_rule(
    tokens: DeltaTokens, states: States, batch: Ragged
) -> tuple[Float[Array, "T N Hv"], Float[Array, "L B N Hk Hv"]]:
    """Compute a step of one layer; returns what was read, and the states in place."""
    carry = (jnp.zeros_like(tokens.values), states.all)
    carry = _single_tokens(tokens, states, batch, carry)
    return _blocks(tokens, states, batch, carry)


_Carry = tuple[Float[Array, "T N Hv"], Float[Array, "L B N Hk Hv"]]


def _single_tokens(tokens: DeltaTokens, states: States, batch: Ragged, carry: _Carry) -> _Carry:
    """Compute the leading chunks of one token each."""
    num_lines, scratch = states.rows.shape[0], states.all.shape[1] - 1
    size = min(ROWS_AT_ONCE, num_lines)

    def group(index: Int[Array, ""], carry: _Carry) -> _Carry:
        out, all_states = carry
        first, line, live = _window(index * size, batch.num_decodes, size, num_lines)
        rows = jnp.where(live, states.rows[line], scratch)
        kept = all_states[states.layer, rows]
        kept = jnp.where((batch.starts[line] > 0)[:, None, None, None], kept, 0.0)
        read, kept = _advance(_slice(tokens, first, live), kept)
        all_states = all_states.at[states.layer, rows].set(kept)
        return _put(out, read, first, live), all_states

    return jax.lax.fori_loop(0, -(-batch.num_decodes // size), group, carry)


def _blocks(tokens: DeltaTokens, states: States, batch: Ragged, carry: _Carry) -> _Carry:
    """Compute all other chunks, block by block."""
    num_tokens, line = tokens.values.shape[0], jnp.arange(states.rows.shape[0])
    size = BLOCK_OF_SCALARS if tokens.decays.shape[-1] == 1 else BLOCK_OF_VECTORS
    size = min(size, num_tokens)
    is_long = (line >= batch.num_decodes) & (line < batch.num_chunks)
    blocks = jnp.where(is_long, -(-batch.lengths // size), 0)
    blocks_until = jnp.cumsum(blocks)

    def block(index: Int[Array, ""], carry: _Carry) -> _Carry:
        out, all_states = carry
        chunk = jnp.sum(blocks_until <= index)
        begin = (index - (blocks_until[chunk] - blocks[chunk])) * size
        offset, row = batch.offsets[chunk], states.rows[chunk]
        end = offset + batch.lengths[chunk]
        first, _, live = _window(offset + begin, end, size, num_tokens)
        kept = all_states[states.layer, row]
        kept = jnp.where(batch.starts[chunk] + begin > 0, kept, 0.0)
        read, kept = _advance_block(_slice(tokens, first, live), kept)
        all_states = all_states.at[states.layer, row].set(kept)
        return _put(out, read, first, live), all_states

    return jax.lax.fori_loop(0, blocks_until[-1], block, carry)


def _window(
    begin: Int[Array, ""], end: Int[Array, ""], size: int, available: int
) -> tuple[Int[Array, ""], Int[Array, " I"], Bool[Array, " I"]]:
    """Place `size` lines over those from `begin` to `end`, inside the array; tell who is meant."""
    first = jnp.minimum(begin, available - size)
    line = first + jnp.arange(size)
    return first, line, (line >= begin) & (line < end)


def _slice(tokens: DeltaTokens, first: Int[Array, ""], live: Bool[Array, " I"]) -> DeltaTokens:
    """Cut tokens out; those that are not meant become zeros, which change no state."""

    def cut(array: Array) -> Array:
        part = jax.lax.dynamic_slice_in_dim(array, first, live.shape[0])
        return jnp.where(live.reshape(-1, *(1,) * (array.ndim - 1)), part, 0.0)

    return DeltaTokens(*map(cut, tokens))


def _put(out: Array, part: Array, first: Int[Array, ""], live: Bool[Array, " I"]) -> Array:
    before = jax.lax.dynamic_slice_in_dim(out, first, live.shape[0])
    part = jnp.where(live[:, None, None], part, before)
    return jax.lax.dynamic_update_slice_in_dim(out, part, first, axis=0)


def _advance(
    tokens: DeltaTokens, state: Float[Array, "I N Hk Hv"]
) -> tuple[Float[Array, "I N Hv"], Float[Array, "I N Hk Hv"]]:
    """Advance as many states by one token each."""
    queries, keys = _for_value_heads(tokens)
    state = state * jnp.exp(tokens.decays)[..., None]
    known = jnp.einsum("inkv,ink->inv", state, keys, precision=_EXACT)
    written = tokens.betas[..., None] * (tokens.values - known)
    state = state + keys[..., None] * written[..., None, :]
    return jnp.einsum("inkv,ink->inv", state, queries, precision=_EXACT), state


def _advance_block(
    tokens: DeltaTokens, state: Float[Array, "N Hk Hv"]
) -> tuple[Float[Array, "I N Hv"], Float[Array, "N Hk Hv"]]:
    """Advance one state by consecutive tokens; see the head of this file."""
    queries, keys = (heads.swapaxes(0, 1) for heads in _for_value_heads(tokens))
    values, betas = tokens.values.swapaxes(0, 1), tokens.betas.T[..., None]
    total = jnp.cumsum(tokens.decays, axis=0).swapaxes(0, 1)
    fading = jnp.exp(total)
    known = jnp.matmul(keys * fading, state, precision=_EXACT)
    among, seen = _faded_products(keys, keys, total), _faded_products(queries, keys, total)
    written = jax.lax.linalg.triangular_solve(
        betas * among, betas * (values - known), left_side=True, lower=True, unit_diagonal=True
    )
    read = jnp.matmul(queries * fading, state, precision=_EXACT)
    read += jnp.matmul(seen, written, precision=_EXACT)
    left = jnp.exp(total[:, -1:] - total)
    state = fading[:, -1, :, None] * state
    state += jnp.matmul((keys * left).swapaxes(1, 2), written, precision=_EXACT)
    return read.swapaxes(0, 1), state


def _faded_products(
    later: Float[Array, "N I Hk"], earlier: Float[Array, "N I Hk"], total: Float[Array, "N I G"]
) -> Float[Array, "N I I"]:
    """Multiply each pair of tokens, the earlier one faded until the later; zero above."""
    fading = jnp.exp(jnp.minimum(total[:, :, None] - total[:, None], 0.0))
    if total.shape[-1] == 1:
        products = jnp.einsum("nik,njk->nij", later, earlier, precision=_EXACT) * fading[..., 0]
    else:
        products = jnp.sum(later[:, :, None] * earlier[:, None] * fading, axis=-1)
    return jnp.tril(products)


def _for_value_heads(tokens: DeltaTokens) -> tuple[Float[Array, "I N Hk"], Float[Array, "I N Hk"]]:
    times = tokens.values.shape[1] // tokens.keys.shape[1]
    return jnp.repeat(tokens.queries, times, axis=1), jnp.repeat(tokens.keys, times, axis=1)
