"""The blocked kernel against the formula, on ragged batches with scattered pages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radixloom_runtime.ops import attention_reference
from radixloom_runtime.ops.attention import Form, Ragged
from radixloom_runtime.ops.attention_cpu import CPUAttention

CHUNKS, TABLE = 5, 40
SCRATCH = CHUNKS * TABLE
SECOND_LAYER = SCRATCH + 1


class Case(NamedTuple):
    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray | None
    pages: np.ndarray
    batch: Ragged
    num_live: int
    sinks: np.ndarray


def case(
    decode_positions: list[int],
    prompts: list[tuple[int, int]],
    shape: tuple[int, int, int, int],
    *,
    latent: bool = False,
) -> Case:
    """Random numbers; chunks of (start, length), decodes first; padded to 5 chunks."""
    num_heads, num_kv_heads, head_dim, page_tokens = shape
    generator = np.random.default_rng(len(prompts) + head_dim)
    chunks = [(position, 1) for position in decode_positions] + prompts
    lengths = [length for _, length in chunks]
    num_tokens = max(16, -(-sum(lengths) // 16) * 16)
    padding = [0] * (CHUNKS - len(chunks))
    tables = generator.permutation(SCRATCH).reshape(CHUNKS, TABLE)
    slots = np.full(num_tokens, SCRATCH * page_tokens)
    live = [(chunk, start + i) for chunk, (start, n) in enumerate(chunks) for i in range(n)]
    for token, (chunk, position) in enumerate(live):
        page = tables[chunk, position // page_tokens]
        slots[token] = page * page_tokens + position % page_tokens
    batch = Ragged(
        num_decodes=jnp.int32(len(decode_positions)),
        num_chunks=jnp.int32(len(chunks)),
        starts=jnp.array([start for start, _ in chunks] + padding, jnp.int32),
        lengths=jnp.array(lengths + padding, jnp.int32),
        offsets=jnp.array([*np.cumsum([0, *lengths])[:-1], *[2**31 - 1 for _ in padding]]),
        page_tables=jnp.asarray(tables, jnp.int32),
        slots=jnp.asarray(slots, jnp.int32),
    )

    def numbers(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    width = 1 if latent else 2 * num_kv_heads
    return Case(
        queries=numbers(num_tokens, num_heads, head_dim),
        keys=numbers(num_tokens, num_kv_heads, head_dim),
        values=None if latent else numbers(num_tokens, num_kv_heads, head_dim),
        pages=numbers(2 * SECOND_LAYER, page_tokens, width, head_dim),
        batch=batch,
        num_live=len(live),
        sinks=numbers(num_heads),
    )


def check(given: Case, form: Form, *, window: int | None = None, with_sinks: bool = False) -> None:
    sinks = given.sinks if with_sinks else None
    with jax.default_matmul_precision("highest"):
        found, pages = jax.jit(CPUAttention(), static_argnums=6)(
            *given[:5],
            SECOND_LAYER,
            form,
            window=None if window is None else jnp.int32(window),
            sinks=sinks,
        )
    written = attention_reference.write(
        given.pages, given.batch, SECOND_LAYER, given.keys, given.values
    )
    expected = attention_reference.attend(
        given.queries, written, given.batch, SECOND_LAYER, form, window=window, sinks=sinks
    )
    live = slice(given.num_live)
    np.testing.assert_allclose(np.asarray(found)[live], expected[live], atol=2e-5)
    assert np.isfinite(found).all()
    scratch = SECOND_LAYER + SCRATCH
    np.testing.assert_array_equal(np.asarray(pages)[:scratch], written[:scratch])


MIXED = ([130, 16], [(0, 70), (127, 3), (250, 65)])


@pytest.mark.parametrize(
    ("decodes", "prompts", "shape"),
    [
        ([0, 17, 300, 5], [], (9, 3, 64, 16)),
        (*MIXED, (4, 1, 80, 16)),
        ([], [(0, 1), (63, 66)], (4, 4, 128, 8)),
    ],
    ids=["decodes of 9/3 heads", "mixed, one kv head", "no grouping, small pages"],
)
def test_attention_equals_the_formula(decodes, prompts, shape):
    given = case(decodes, prompts, shape)
    check(given, Form(scale=shape[2] ** -0.5))


@pytest.mark.parametrize("window", [1, 16, 130, 1 << 30])
def test_a_token_sees_no_more_than_its_window(window):
    check(case(*MIXED, (4, 2, 16, 16)), Form(scale=0.25), window=window)


def test_sinks_take_their_share_of_the_softmax():
    check(case(*MIXED, (4, 2, 16, 16)), Form(scale=0.25), window=24, with_sinks=True)
    check(case(*MIXED, (4, 2, 16, 16)), Form(scale=0.25), with_sinks=True)


def test_scores_are_capped_softly():
    check(case(*MIXED, (4, 2, 16, 16)), Form(scale=1.0, soft_cap=4.0))


def test_a_latent_is_key_and_value_of_all_heads():
    given = case(*MIXED, (4, 1, 40, 16), latent=True)
    check(given, Form(scale=0.2, value_dim=32))
