"""How a model's layers turn: from what config.json says to cosines and sines of a step."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_rope import (
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    PairScaling,
    Rope,
    YarnScaling,
)
from radixloom_runtime.ops import rope


def turns(
    config: ModelConfig, positions: Int[Array, " T"]
) -> tuple[Float[Array, "O T 1 P"], Float[Array, "O T 1 P"]]:
    """Return cosine and sine for each kind of rope, token and pair; once a step."""
    found: list[tuple[Array, Array]] = []
    for kind in config.ropes:
        per_position = frequencies(kind, config.rotary_dim, longest=config.max_positions)
        cos, sin = rope.angles(positions, per_position)
        found.append((cos * kind.magnitude, sin * kind.magnitude))
    cos, sin = (jnp.stack(each) for each in zip(*found, strict=True))
    return cos, sin


def frequencies(kind: Rope, rotary_dim: int, *, longest: int) -> rope.Frequencies:
    """Return radians per position of each pair of a head, in a model of requests up to `longest`.

    Raises: `ModelError`.
    """
    plain = rope.frequencies(rotary_dim, kind.theta)
    if kind.is_off:
        return np.zeros_like(plain)
    match kind.scaling:
        case None:
            return plain
        case LinearScaling(factor):
            return plain / factor
        case Llama3Scaling() as scaling:
            return rope.llama3_frequencies(
                plain,
                factor=scaling.factor,
                low_freq_factor=scaling.low_freq_factor,
                high_freq_factor=scaling.high_freq_factor,
                original_max_positions=scaling.original_max_positions,
            )
        case YarnScaling() as scaling:
            return rope.yarn_frequencies(
                plain,
                theta=kind.theta,
                factor=scaling.factor,
                original_max_positions=scaling.original_max_positions,
                beta_fast=scaling.beta_fast,
                beta_slow=scaling.beta_slow,
                truncate=scaling.truncates,
            )
        case LongScaling() as scaling:
            return _divided(plain, _chosen(scaling, longest))
        case PairScaling(factors):
            return _divided(plain, factors)


def _chosen(scaling: LongScaling, longest: int) -> tuple[float, ...]:
    """Choose one set for all requests: cached keys cannot be turned anew (ADR 0019)."""
    return scaling.long if longest > scaling.original_max_positions else scaling.short


def _divided(plain: rope.Frequencies, factors: tuple[float, ...]) -> rope.Frequencies:
    if len(factors) != len(plain):
        raise ModelError(f"the rope wants {len(plain)} factors, found {len(factors)}")
    return plain / np.asarray(factors)
