"""What config.json says about rotary positions, in either of the two schemas in the wild."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radixloom_runtime.errors import ModelError

Raw = dict[str, Any]

_DEFAULT_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Positions divided by a number."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's stretching of the slow rotary frequencies."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """YaRN's: slow pairs are stretched, fast ones are not, and all keys and queries grow."""

    factor: float
    original_max_positions: int
    beta_fast: float
    beta_slow: float
    truncates: bool
    """The range between fast and slow ends at whole pairs."""


@dataclass(frozen=True, slots=True)
class LongScaling:
    """LongRoPE's: each pair is divided by a number of its own, of one of two sets."""

    short: tuple[float, ...]
    """Up to `original_max_positions`."""
    long: tuple[float, ...]
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class PairScaling:
    """Each pair is divided by a number of its own at any length: how a GGUF says Llama 3's."""

    factors: tuple[float, ...]


Scaling = LinearScaling | Llama3Scaling | YarnScaling | LongScaling | PairScaling


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding of some layers."""

    theta: float
    scaling: Scaling | None = None
    magnitude: float = 1.0
    """What turns is multiplied by it, too."""
    is_off: bool = False
    """Layers without positions ("NoPE")."""


def parse_rope(raw: Raw, *, may_be_long: bool = False) -> Rope:
    """Read the rope of a model that has one kind. Raises: `ModelError`.

    `may_be_long`: the family has LongRoPE; in others no reference output checks it.
    """
    found = described_rope(raw)
    if any(isinstance(value, dict) for value in found.values()):
        kinds = ", ".join(found)
        raise ModelError(f"one kind of rope is supported in this family, found several: {kinds}")
    described = {
        "original_max_position_embeddings": raw.get("original_max_position_embeddings"),
        "max_position_embeddings": raw.get("max_position_embeddings"),
    } | _present(found)
    theta = float(raw.get("rope_theta") or _DEFAULT_THETA)
    return rope_of(described, theta, may_be_long=may_be_long)


def described_rope(raw: Raw) -> Raw:
    """Return what config.json says of the rope, by whichever name."""
    return raw.get("rope_parameters") or raw.get("rope_scaling") or {}


def rope_kind(described: Raw) -> str:
    """Return what a description calls itself, by whichever name."""
    return described.get("rope_type") or described.get("type") or "default"


def rope_of(described: Raw, theta: float, *, may_be_long: bool = False) -> Rope:
    """Give a description its type; `theta` where it names none. Raises: `ModelError`."""
    theta = float(described.get("rope_theta") or theta)
    kind = rope_kind(described)
    if kind == "default":
        return Rope(theta)
    kinds = _KINDS | (_LONG_KINDS if may_be_long else {})
    if kind not in kinds:
        supported = ", ".join(sorted({"default", *kinds}))
        raise ModelError(
            f"rope type {kind!r} is not supported in this family; supported: {supported}"
        )
    return kinds[kind](described, theta)


def rotary_dim(raw: Raw, head_dim: int) -> int:
    """Return how many leading numbers of a head turn."""
    described: Raw = raw.get("rope_parameters") or {}
    share = described.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1.0
    return int(head_dim * share)


def yarn_magnitude(factor: float, weight: float = 1.0) -> float:
    """Return by how much YaRN enlarges keys and queries that are stretched by `factor`."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _linear(described: Raw, theta: float) -> Rope:
    return Rope(theta, LinearScaling(_number(described, "factor")))


def _llama3(described: Raw, theta: float) -> Rope:
    scaling = Llama3Scaling(
        factor=_number(described, "factor"),
        low_freq_factor=_number(described, "low_freq_factor"),
        high_freq_factor=_number(described, "high_freq_factor"),
        original_max_positions=_original(described),
    )
    return Rope(theta, scaling)


def _yarn(described: Raw, theta: float) -> Rope:
    factor = _number(described, "factor")
    scaling = YarnScaling(
        factor=factor,
        original_max_positions=_original(described),
        beta_fast=float(described.get("beta_fast") or 32),
        beta_slow=float(described.get("beta_slow") or 1),
        truncates=bool(described.get("truncate", True)),
    )
    return Rope(theta, scaling, _yarn_magnitude_of(described, factor))


def _yarn_magnitude_of(described: Raw, factor: float) -> float:
    """As given, or by DeepSeek's two weights, of which one goes to the softmax, or by the paper."""
    given: float | None = described.get("attention_factor")
    if given is not None:
        return float(given)
    here, everywhere = described.get("mscale"), described.get("mscale_all_dim")
    if here and everywhere:
        return yarn_magnitude(factor, here) / yarn_magnitude(factor, everywhere)
    return yarn_magnitude(factor)


def _long(described: Raw, theta: float) -> Rope:
    original = _original(described)
    scaling = LongScaling(
        _numbers(described, "short_factor"), _numbers(described, "long_factor"), original
    )
    given: float | None = described.get("attention_factor")
    if given is not None:
        return Rope(theta, scaling, float(given))
    factor = described.get("factor") or _number(described, "max_position_embeddings") / original
    grown = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return Rope(theta, scaling, grown)


def _pairs(described: Raw, theta: float) -> Rope:
    return Rope(theta, PairScaling(_numbers(described, "pair_factors")))


_Kinds = dict[str, Callable[[Raw, float], Rope]]
_KINDS: _Kinds = {
    "linear": _linear,
    "llama3": _llama3,
    "pair_factors": _pairs,
    "yarn": _yarn,
}
_LONG_KINDS: _Kinds = {"longrope": _long, "su": _long}
"""Two names of one; "su" was the first."""


def _original(described: Raw) -> int:
    return int(_number(described, "original_max_position_embeddings"))


def _present(described: Raw) -> Raw:
    return {key: value for key, value in described.items() if value is not None}


def _number(described: Raw, key: str) -> float:
    value = described.get(key)
    if not isinstance(value, int | float):
        raise ModelError(f"config.json's rope wants {key} as a number, found {value!r}")
    return float(value)


def _numbers(described: Raw, key: str) -> tuple[float, ...]:
    values = described.get(key)
    if not isinstance(values, list) or not all(isinstance(each, int | float) for each in values):
        raise ModelError(f"config.json's rope wants {key} as a list of numbers, found {values!r}")
    return tuple(float(each) for each in values)
