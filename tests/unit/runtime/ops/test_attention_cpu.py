"""The blocked kernel against the formula, on ragged batches with scattered pages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radixloom_runtime.ops import attention_cpu, attention_reference
from radixloom_runtime.ops.attention import Ragged

CHUNKS, TABLE = 5, 40


def case(decode_positions: list[int], prompts: list[tuple[int, int]], shape: tuple[int, ...]):
    """Random queries and pages; chunks of (start, length), decodes first; padded to 5 chunks."""
    num_heads, num_kv_heads, head_dim, page_tokens = shape
    generator = np.random.default_rng(len(prompts) + head_dim)
    chunks = [(position, 1) for position in decode_positions] + prompts
    lengths = [length for _, length in chunks]
    num_tokens = max(16, -(-sum(lengths) // 16) * 16)
    padding = [0] * (CHUNKS - len(chunks))
    tables = generator.permutation(CHUNKS * TABLE).reshape(CHUNKS, TABLE)
    batch = Ragged(
        num_decodes=jnp.int32(len(decode_positions)),
        num_chunks=jnp.int32(len(chunks)),
        starts=jnp.array([start for start, _ in chunks] + padding, jnp.int32),
        lengths=jnp.array(lengths + padding, jnp.int32),
        offsets=jnp.array([*np.cumsum([0, *lengths])[:-1], *[2**31 - 1 for _ in padding]]),
        page_tables=jnp.asarray(tables, jnp.int32),
    )
    pages = generator.normal(size=(2 * CHUNKS * TABLE, page_tokens, 2 * num_kv_heads, head_dim))
    queries = generator.normal(size=(num_tokens, num_heads, head_dim))
    return queries.astype(np.float32), pages.astype(np.float32), batch, sum(lengths)


@pytest.mark.parametrize(
    ("decodes", "prompts", "shape"),
    [
        ([0, 17, 300, 5], [], (9, 3, 64, 16)),
        ([130], [(0, 70), (127, 3), (250, 65)], (4, 1, 80, 16)),
        ([], [(0, 1), (63, 66)], (4, 4, 128, 8)),
    ],
    ids=["decodes of 9/3 heads", "mixed, one kv head", "no grouping, small pages"],
)
def test_attention_equals_the_formula(decodes, prompts, shape):
    queries, pages, batch, live = case(decodes, prompts, shape)
    offset = CHUNKS * TABLE  # the second layer's stretch
    with jax.default_matmul_precision("highest"):
        found = jax.jit(attention_cpu.attend)(
            jnp.asarray(queries), jnp.asarray(pages), batch, offset
        )
    expected = attention_reference.attend(queries, pages, batch, offset)
    np.testing.assert_allclose(np.asarray(found)[:live], expected[:live], atol=2e-5)
