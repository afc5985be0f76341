"""Sampling against plain numpy, and its one promise: a row depends on nothing but itself."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, PartitionSpec

from radixloom_runtime.ops import sampling
from radixloom_runtime.ops.sampling import IN_PROMPT, IS_STOP, Choice, Logprobs, Vocabulary
from radixloom_runtime.ops.shards import Shards

VOCAB = 64
ROWS = 4

sample = jax.jit(sampling.sample)
truncate = jax.jit(sampling.truncate)
adjust = jax.jit(sampling.adjust)
logprobs_of = jax.jit(sampling.logprobs_of)


def choice(**values: float | list[float]) -> Choice:
    usual = Choice(1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0, 0, 0, 0)._asdict()
    kinds = {"seed": jnp.uint32, "top_k": jnp.int32, "min_position": jnp.int32}
    kinds["flags"] = jnp.int32
    return Choice(
        **{
            name: jnp.full(ROWS, jnp.array(value), kinds.get(name, jnp.float32))
            for name, value in (usual | values).items()
        }
    )


def logits_of(seed: int, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, VOCAB), scale=scale).astype(np.float32)


def vocabulary(facts: np.ndarray | None = None, bias: np.ndarray | None = None) -> Vocabulary:
    nothing = np.zeros((ROWS, VOCAB))
    return Vocabulary(
        jnp.asarray(nothing if facts is None else facts, jnp.int32),
        jnp.asarray(nothing if bias is None else bias, jnp.float32),
    )


def draw(
    logits: np.ndarray,
    how: Choice,
    positions: list[int],
    words: Vocabulary | None = None,
    allowed: jax.Array | None = None,
):
    rows, words = jnp.arange(ROWS), words or vocabulary()
    positions_ = jnp.array(positions, jnp.int32)
    return np.asarray(sample(jnp.asarray(logits), how, words, rows, positions_, allowed=allowed))


def softmax(logits: np.ndarray) -> np.ndarray:
    wide = np.exp(logits.astype(np.float64) - logits.max())
    return wide / wide.sum()


def kept_by_numpy(logits: np.ndarray, top_k: int, top_p: float, min_p: float) -> set[int]:
    """Sort and cut, one after the other; float32 ties do not occur in these logits."""
    order = np.argsort(-logits)
    if top_k:
        order = order[:top_k]
    mass = np.cumsum(softmax(logits[order]))
    order = order[: int(np.searchsorted(mass, top_p)) + 1] if top_p < 1 else order
    probabilities = softmax(logits[order])
    return {
        int(t) for t, p in zip(order, probabilities, strict=True) if p >= min_p * probabilities[0]
    }


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    top_k=st.sampled_from([0, 1, 2, 7, 63, 64, 1000]),
    top_p=st.sampled_from([0.05, 0.3, 0.777, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.013, 0.21, 1.0]),
)
def test_the_kept_tokens_are_those_of_sorting_and_cutting(seed, top_k, top_p, min_p):
    logits = logits_of(seed)
    found = np.asarray(truncate(jnp.asarray(logits), choice(top_k=top_k, top_p=top_p, min_p=min_p)))
    for row in range(ROWS):
        assert set(np.flatnonzero(found[row] > -np.inf)) == kept_by_numpy(
            logits[row], top_k, top_p, min_p
        )


def test_tokens_that_tie_with_the_last_kept_one_are_kept():
    logits = np.zeros((ROWS, VOCAB), np.float32)
    logits[:, :3] = [[2.0, 1.0, 1.0]]
    found = np.asarray(truncate(jnp.asarray(logits), choice(top_k=2)))
    assert np.flatnonzero(found[0] > -np.inf).tolist() == [0, 1, 2]


def test_temperature_zero_takes_the_largest_logit_even_beside_rows_that_draw():
    logits = logits_of(1)
    drawn = draw(logits, choice(temperature=[0.0, 1.0, 0.0, 2.0]), [5, 6, 7, 8])
    assert drawn[[0, 2]].tolist() == logits.argmax(axis=1)[[0, 2]].tolist()


def test_a_token_depends_on_seed_position_and_logits_alone():
    logits = logits_of(2, scale=0.5)
    same = np.repeat(logits[:1], ROWS, axis=0)
    alone = draw(same, choice(seed=7), [11] * ROWS)
    assert len(set(alone.tolist())) == 1
    mixed = np.stack([logits[1], logits[0], logits[2], logits[0]])
    beside = draw(
        mixed,
        choice(seed=[1, 7, 2, 7], temperature=[0.0, 1.0, 3.0, 1.0], top_p=[1, 1, 0.5, 1]),
        [1, 11, 3, 12],
    )
    assert beside[1] == alone[0]


def test_different_seeds_and_positions_draw_differently():
    logits = np.zeros((ROWS, VOCAB), np.float32)
    by_position = {tuple(draw(logits, choice(seed=3), list(range(p, p + 4)))) for p in range(8)}
    by_seed = {int(draw(logits, choice(seed=s), [0] * 4)[0]) for s in range(30)}
    assert len(by_position) == 8
    assert len(by_seed) > 10


@pytest.mark.parametrize("how", [{}, {"temperature": 0.6, "top_k": 8, "top_p": 0.9, "min_p": 0.02}])
def test_tokens_are_drawn_as_often_as_their_probability_says(how):
    logits = np.repeat(logits_of(3, scale=1.5)[:1], ROWS, axis=0)
    scaled = logits[0] / how.get("temperature", 1.0)
    kept = kept_by_numpy(scaled, how.get("top_k", 0), how.get("top_p", 1.0), how.get("min_p", 0.0))
    expected = softmax(np.where(np.isin(np.arange(VOCAB), list(kept)), scaled, -np.inf))
    counts: Counter[int] = Counter()
    steps = 300
    for position in range(steps):
        counts.update(draw(logits, choice(seed=[1, 2, 3, 4], **how), [position] * ROWS).tolist())
    total = steps * ROWS
    assert set(counts) <= kept
    common = expected * total >= 5
    found = np.array([counts[token] for token in range(VOCAB)])
    found, wanted = found[common], (expected * total)[common]
    chi_square = ((found - wanted) ** 2 / wanted).sum()
    assert chi_square < common.sum() + 4 * np.sqrt(2 * common.sum())


def test_penalties_bias_and_stop_mask_are_those_of_the_formula():
    generator = np.random.default_rng(4)
    logits = logits_of(5)
    counts = generator.integers(0, 4, (ROWS, VOCAB))
    prompt = generator.random((ROWS, VOCAB)) < 0.3
    stops = generator.random((ROWS, VOCAB)) < 0.1
    bias = np.where(generator.random((ROWS, VOCAB)) < 0.1, generator.normal(size=(ROWS, VOCAB)), 0)
    how = choice(
        repetition_penalty=1.3,
        presence_penalty=0.4,
        frequency_penalty=-0.2,
        min_position=[0, 9, 10, 11],
        flags=[1, 1, 1, 0],
    )
    words = vocabulary(counts + prompt * IN_PROMPT + stops * IS_STOP, bias)
    positions = jnp.full(ROWS, 9, jnp.int32)
    found = np.asarray(adjust(jnp.asarray(logits), how, words, jnp.arange(ROWS), positions))
    expected = logits.astype(np.float64)
    repeated = np.where(expected > 0, expected / 1.3, expected * 1.3)
    expected = np.where(prompt | (counts > 0), repeated, expected)
    expected = expected - 0.4 * (counts > 0) + 0.2 * counts + bias
    expected[2] = np.where(stops[2], -np.inf, expected[2])
    expected[3] = logits[3]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def masks_of(allowed: np.ndarray) -> jax.Array:
    """Pack a table of tokens that rows may choose, as many words as it takes."""
    missing = -allowed.shape[1] % 32
    bits = np.packbits(np.pad(allowed, ((0, 0), (0, missing))), axis=1, bitorder="little")
    return jnp.asarray(bits.view(np.int32))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_guided_row_chooses_among_what_is_allowed_and_others_do_not_notice(temperature):
    generator = np.random.default_rng(9)
    logits, allowed = logits_of(10), generator.random((ROWS, VOCAB)) < 0.1
    allowed[:, [31, 32, 63]] = [True, False, True]  # at the edges of words
    how = choice(temperature=temperature, flags=[2, 2, 0, 3])
    rows, positions = jnp.arange(ROWS), jnp.full(ROWS, 5, jnp.int32)
    masked = np.where(allowed | (np.arange(ROWS) == 2)[:, None], logits, -np.inf)
    plain = choice(temperature=temperature)
    expected = sample(jnp.asarray(masked), plain, vocabulary(), rows, positions)
    found = sample(
        jnp.asarray(logits), how, vocabulary(), rows, positions, allowed=masks_of(allowed)
    )
    assert found.tolist() == expected.tolist()


def test_logprobs_are_of_the_raw_logits():
    logits = logits_of(6)
    chosen = np.array([3, 1, 4, 1], np.int32)
    found = logprobs_of(jnp.asarray(logits), jnp.asarray(chosen))
    expected = np.log(np.stack([softmax(row) for row in logits]))
    np.testing.assert_allclose(found.chosen, expected[range(ROWS), chosen], atol=1e-5)
    order = np.argsort(-logits, axis=1)[:, : sampling.MAX_TOP]
    assert np.asarray(found.top_ids).tolist() == order.tolist()
    np.testing.assert_allclose(found.top, np.take_along_axis(expected, order, 1), atol=1e-5)


def test_noise_is_that_of_the_whole_vocabulary_wherever_a_token_lies():
    key = jax.random.fold_in(jax.random.key(7, impl="threefry2x32"), 11)
    whole = np.asarray(jax.random.gumbel(key, (VOCAB,), jnp.float32))
    some = jnp.arange(40, 50, dtype=jnp.uint32)
    found = np.asarray(sampling.gumbel(jnp.uint32(7), jnp.int32(11), some))
    assert found.tolist() == whole[40:50].tolist()


DEVICES = 4


def _on_each(logits, how, words, positions, allowed):
    shards = Shards(VOCAB - 3, jax.lax.axis_index("x") * (VOCAB // DEVICES), ("x",))
    ids = sampling.sample(logits, how, words, jnp.arange(ROWS), positions, shards, allowed)
    return ids, sampling.logprobs_of(logits, ids, shards)


def sample_on_devices(
    logits: np.ndarray, how: Choice, words: Vocabulary, positions: list[int], allowed: jax.Array
) -> tuple[np.ndarray, Logprobs]:
    """Sample with the vocabulary cut over devices; the last has three columns of filling."""
    filled = np.pad(logits, ((0, 0), (0, 3)), constant_values=-np.inf)
    wide = Vocabulary(*(jnp.pad(part, ((0, 0), (0, 3))) for part in words))
    cut, whole = PartitionSpec(None, "x"), PartitionSpec()
    on_each = jax.shard_map(
        _on_each,
        mesh=Mesh(np.array(jax.devices()[:DEVICES]), ("x",)),
        in_specs=(cut, whole, cut, whole, whole),
        out_specs=(whole, whole),
        check_vma=False,
    )
    positions_ = jnp.array(positions, jnp.int32)
    return jax.jit(on_each)(jnp.asarray(filled), how, wide, positions_, allowed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 0.0},
        {},
        {"top_k": 7, "min_p": 0.02},
        {"top_p": [0.3, 0.777, 0.95, 1.0], "top_k": [0, 5, 60, 1], "temperature": [1, 0.7, 2, 0]},
        {"repetition_penalty": 1.3, "presence_penalty": 0.4, "flags": 1, "min_position": 9},
        {"flags": [2, 0, 3, 2], "temperature": [1, 0.7, 2, 0]},
    ],
)
def test_a_vocabulary_cut_over_devices_gives_the_tokens_of_one(how):
    generator = np.random.default_rng(8)
    logits = generator.normal(size=(ROWS, VOCAB - 3)).astype(np.float32)
    logits[0, [5, 40]] = 9.0  # a tie, on two devices
    facts = generator.integers(0, 3, logits.shape) + IS_STOP * (
        generator.random(logits.shape) < 0.1
    )
    words = Vocabulary(jnp.asarray(facts, jnp.int32), jnp.zeros(logits.shape, jnp.float32))
    positions = [5, 6, 7, 8]
    allowed = masks_of(generator.random(logits.shape) < 0.2)
    one = draw(logits, choice(**how), positions, words, allowed)
    ids, logprobs = sample_on_devices(logits, choice(**how), words, positions, allowed)
    assert np.asarray(ids).tolist() == one.tolist()
    expected = logprobs_of(jnp.asarray(logits), jnp.asarray(one))
    assert np.asarray(logprobs.top_ids).tolist() == np.asarray(expected.top_ids).tolist()
    np.testing.assert_allclose(logprobs.top, expected.top, atol=1e-5)
    np.testing.assert_allclose(logprobs.chosen, expected.chosen, atol=1e-5)
