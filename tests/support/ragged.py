"""Ragged batches for the ops, from chunks of (row, start, length); no pages."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from radixloom_runtime.ops.attention import Ragged

FAR = 2**31 - 1


def ragged(
    chunks: Sequence[tuple[int, int, int]], *, num_lines: int, num_tokens: int, scratch: int
) -> tuple[Ragged, jnp.ndarray]:
    """Return a batch as the runner lays it out, single tokens first, and each chunk's row."""
    lengths = [length for _, _, length in chunks]
    assert lengths == sorted(lengths, key=lambda length: length > 1), "single tokens come first"
    assert sum(lengths) <= num_tokens
    padding = [0] * (num_lines - len(chunks))
    batch = Ragged(
        num_decodes=jnp.int32(sum(length == 1 for length in lengths)),
        num_chunks=jnp.int32(len(chunks)),
        starts=jnp.array([start for _, start, _ in chunks] + padding, jnp.int32),
        lengths=jnp.array(lengths + padding, jnp.int32),
        offsets=jnp.array([*np.cumsum([0, *lengths])[:-1], *[FAR for _ in padding]], jnp.int32),
        page_tables=jnp.zeros((num_lines, 0), jnp.int32),
        slots=jnp.zeros(num_tokens, jnp.int32),
    )
    rows = [row for row, _, _ in chunks] + [scratch] * len(padding)
    return batch, jnp.array(rows, jnp.int32)
