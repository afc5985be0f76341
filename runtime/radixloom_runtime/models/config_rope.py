"""What config.json says about rotary positions, in either of the two schemas in the wild."""

from dataclasses import dataclass
from typing import Any

from radixloom_runtime.errors import ModelError

Raw = dict[str, Any]

_DEFAULT_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's stretching of the slow rotary frequencies."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding of some layers."""

    theta: float
    linear_factor: float = 1.0
    """Positions are divided by it (rope_type "linear")."""
    llama3: Llama3Scaling | None = None
    is_off: bool = False
    """Layers without positions ("NoPE")."""


def parse_rope(raw: Raw) -> Rope:
    """Read the rope of a model that has one kind. Raises: `ModelError`."""
    described: Raw = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return rope_of(described, float(raw.get("rope_theta") or _DEFAULT_THETA))


def rope_of(described: Raw, theta: float) -> Rope:
    """Give a description its type; `theta` where it names none. Raises: `ModelError`."""
    theta = float(described.get("rope_theta") or theta)
    kind = described.get("rope_type") or described.get("type") or "default"
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, linear_factor=_number(described, "factor"))
    if kind == "llama3":
        return Rope(theta, llama3=_llama3(described))
    raise ModelError(f"rope type {kind!r} is not supported; supported: default, linear, llama3")


def rotary_dim(raw: Raw, head_dim: int) -> int:
    """Return how many leading numbers of a head turn."""
    described: Raw = raw.get("rope_parameters") or {}
    share = described.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1.0
    return int(head_dim * share)


def _llama3(described: Raw) -> Llama3Scaling:
    return Llama3Scaling(
        factor=_number(described, "factor"),
        low_freq_factor=_number(described, "low_freq_factor"),
        high_freq_factor=_number(described, "high_freq_factor"),
        original_max_positions=int(_number(described, "original_max_position_embeddings")),
    )


def _number(described: Raw, key: str) -> float:
    value = described.get(key)
    if not isinstance(value, int | float):
        raise ModelError(f"config.json's rope wants {key} as a number, found {value!r}")
    return float(value)
