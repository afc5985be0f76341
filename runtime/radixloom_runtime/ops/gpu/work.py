"""Which queries each program of the GPU's kernel takes: consecutive tokens of one chunk.

    chunks      a (decode)  b (decode)  c: 70 tokens      d: 5
    decodes     [ a ] [ b ] [ - ] [ - ]                   one a program
    prompts     [ c 0-31 ] [ c 32-63 ] [ c 64-69 ] [ d ] [ - ] ...

There are as many programs as the worst batch of these shapes needs; those left over do nothing.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from radixloom_runtime.ops.attention import Ragged


class Work(NamedTuple):
    """What each program does."""

    chunks: Int[Array, " B"]
    tokens: Int[Array, " B"]
    """Its first token among the step's."""
    positions: Int[Array, " B"]
    """That token's position in its request."""
    counts: Int[Array, " B"]
    """Tokens; none: there is nothing to do."""


def decode_work(batch: Ragged, num_tokens: int) -> Work:
    """One program for each decode."""
    num = min(num_tokens, batch.starts.shape[0])
    chunks = jnp.arange(num, dtype=jnp.int32)
    counts = (chunks < batch.num_decodes).astype(jnp.int32)
    return Work(chunks, chunks, batch.starts[:num], counts)


def prompt_work(batch: Ragged, num_tokens: int, at_once: int) -> Work:
    """Programs of at most `at_once` tokens for the chunks after the decodes."""
    num_rows = batch.starts.shape[0]
    chunk = jnp.arange(num_rows)
    is_prompt = (chunk >= batch.num_decodes) & (chunk < batch.num_chunks)
    needed = jnp.where(is_prompt, -(-batch.lengths // at_once), 0)
    until = jnp.cumsum(needed)
    # A program more for each chunk, since its last one may be short.
    program = jnp.arange(num_tokens // at_once + min(num_rows, num_tokens))
    chunks = jnp.minimum(jnp.sum(until <= program[:, None], axis=1), num_rows - 1)
    before = (program - (until - needed)[chunks]) * at_once
    counts = jnp.clip(batch.lengths[chunks] - before, 0, at_once)
    work = Work(
        chunks,
        batch.offsets[chunks] + before,
        batch.starts[chunks] + before,
        jnp.where(program < until[-1], counts, 0),
    )
    return Work(*(numbers.astype(jnp.int32) for numbers in work))
