"""Rotary position embedding: each pair of numbers of a head turns by an angle ∝ position.

head    [ a0 a1 a2 a3 | b0 b1 b2 b3 ]     pair i is (a_i, b_i), as Hugging Face stores it
        [ a0 b0 a1 b1 a2 b2 a3 b3 ]       the same, interleaved, as some families do
angle   position * frequency_i
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

Frequencies = NDArray[np.float64]


def frequencies(head_dim: int, theta: float) -> Frequencies:
    """Radians per position of each pair, fastest first."""
    return theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)


def llama3_frequencies(
    plain: Frequencies,
    *,
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_positions: int,
) -> Frequencies:
    """Slow the slow pairs down by `factor`, keep the fast ones, and blend between.

    A pair is slow if it turns fewer than `low_freq_factor` times over the original context, and
    fast if more than `high_freq_factor` times.
    """
    turns = original_max_positions * plain / (2 * np.pi)
    fastness = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
    blend = np.clip(fastness, 0.0, 1.0)
    return plain * (blend + (1 - blend) / factor)


def yarn_frequencies(
    plain: Frequencies,
    *,
    theta: float,
    factor: float,
    original_max_positions: int,
    beta_fast: float,
    beta_slow: float,
    truncate: bool,
) -> Frequencies:
    """Slow the slow pairs down by `factor`, keep the fast ones, and blend between.

    Over the original context a fast pair turns more than `beta_fast` times, and a slow one fewer
    than `beta_slow` times. The blend is linear in the pair's index between those two, which are
    rounded outwards with `truncate`. Source: Peng et al. 2023, YaRN, section 3.2.
    """
    head_dim = 2 * len(plain)

    def index_that_turns(times: float) -> float:
        return head_dim * np.log(original_max_positions / (times * 2 * np.pi)) / (2 * np.log(theta))

    first, last = index_that_turns(beta_fast), index_that_turns(beta_slow)
    if truncate:
        first, last = np.floor(first), np.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    width = last - first or 0.001  # both ends on one pair: a step
    slowness = np.clip((np.arange(len(plain)) - first) / width, 0.0, 1.0)
    return plain * (1 - slowness) + plain / factor * slowness


def angles(
    positions: Int[Array, " T"], per_position: Frequencies
) -> tuple[Float[Array, "T 1 P"], Float[Array, "T 1 P"]]:
    """Cosine and sine for each token and pair; once a step, for all layers."""
    radians = positions[:, None, None].astype(jnp.float32) * per_position.astype(np.float32)
    return jnp.cos(radians), jnp.sin(radians)


def rotate(
    heads: Float[Array, "T N H"],
    cos: Float[Array, "T 1 P"],
    sin: Float[Array, "T 1 P"],
    *,
    interleaved: bool = False,
) -> Float[Array, "T N H"]:
    """Turn the first 2P numbers of every head of every token; computed in float32."""
    turning, rest = jnp.split(heads, [2 * cos.shape[-1]], axis=-1)
    wide = turning.astype(jnp.float32)
    if interleaved:
        first, second = wide[..., 0::2], wide[..., 1::2]
    else:
        first, second = jnp.split(wide, 2, axis=-1)
    pair = (first * cos - second * sin, second * cos + first * sin)
    if interleaved:
        turned = jnp.stack(pair, axis=-1).reshape(wide.shape)
    else:
        turned = jnp.concatenate(pair, axis=-1)
    return jnp.concatenate([turned.astype(heads.dtype), rest], axis=-1)
