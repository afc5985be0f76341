"""What a checkpoint's config.json says, in one frozen type.

Two schemas are in the wild and mean the same: transformers v4 (`rope_theta`, `rope_scaling`,
`torch_dtype`) and v5 (`rope_parameters`, `dtype`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from radixloom_runtime.errors import ModelError

_T = TypeVar("_T")

_DEFAULT_ROPE_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's stretching of the slow rotary frequencies."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding."""

    theta: float
    linear_factor: float = 1.0
    """Positions are divided by it (rope_type "linear")."""
    llama3: Llama3Scaling | None = None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a decoder-only transformer. Axis letters as in docs/architecture.md."""

    architecture: str
    vocab_size: int
    embed_dim: int
    mlp_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    norm_eps: float
    rope: Rope
    tie_embeddings: bool
    attention_bias: bool
    mlp_bias: bool

    @property
    def kv_width(self) -> int:
        """Numbers that one token adds to one layer's KV cache."""
        return 2 * self.num_kv_heads * self.head_dim


def read_config(folder: Path) -> ModelConfig:
    """Read `folder/config.json`. Raises: `ModelError`."""
    path = folder / "config.json"
    try:
        raw: object = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no config.json; --model wants a Hugging Face checkpoint folder"
            " (`radixloom fetch` brings one)"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} should hold a JSON object, found a {type(raw).__name__}")
    return parse_config({str(key): value for key, value in raw.items()})


def parse_config(raw: dict[str, Any]) -> ModelConfig:
    """Give a config.json its type. Raises: `ModelError`."""
    architectures: list[str] = raw.get("architectures") or ["(none)"]
    num_heads = _required(raw, "num_attention_heads", int)
    embed_dim = _required(raw, "hidden_size", int)
    config = ModelConfig(
        architecture=architectures[0],
        vocab_size=_required(raw, "vocab_size", int),
        embed_dim=embed_dim,
        mlp_dim=_required(raw, "intermediate_size", int),
        num_layers=_required(raw, "num_hidden_layers", int),
        num_heads=num_heads,
        num_kv_heads=raw.get("num_key_value_heads") or num_heads,
        head_dim=raw.get("head_dim") or embed_dim // num_heads,
        max_positions=_required(raw, "max_position_embeddings", int),
        norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
        rope=_rope(raw),
        tie_embeddings=bool(raw.get("tie_word_embeddings", False)),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
    )
    _check(config, raw)
    return config


def _required(raw: dict[str, Any], key: str, kind: type[_T]) -> _T:
    value = raw.get(key)
    if not isinstance(value, kind):
        raise ModelError(f"config.json wants {key} as {kind.__name__}, found {value!r}")
    return value


def _rope(raw: dict[str, Any]) -> Rope:
    described: dict[str, Any] = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    theta = float(described.get("rope_theta") or raw.get("rope_theta") or _DEFAULT_ROPE_THETA)
    kind = described.get("rope_type") or described.get("type") or "default"
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, linear_factor=_number(described, "factor"))
    if kind == "llama3":
        return Rope(theta, llama3=_llama3(described))
    raise ModelError(f"rope type {kind!r} is not supported; supported: default, linear, llama3")


def _llama3(described: dict[str, Any]) -> Llama3Scaling:
    return Llama3Scaling(
        factor=_number(described, "factor"),
        low_freq_factor=_number(described, "low_freq_factor"),
        high_freq_factor=_number(described, "high_freq_factor"),
        original_max_positions=int(_number(described, "original_max_position_embeddings")),
    )


def _number(described: dict[str, Any], key: str) -> float:
    value = described.get(key)
    if not isinstance(value, int | float):
        raise ModelError(f"config.json's rope wants {key} as a number, found {value!r}")
    return float(value)


def _check(config: ModelConfig, raw: dict[str, Any]) -> None:
    if config.num_heads % config.num_kv_heads:
        raise ModelError(
            f"{config.num_heads} attention heads are not a multiple of"
            f" {config.num_kv_heads} key-value heads"
        )
    if config.head_dim % 2:
        raise ModelError(f"rotary embedding wants an even head_dim, found {config.head_dim}")
    activation = raw.get("hidden_act", "silu")
    if activation != "silu":
        raise ModelError(f"activation {activation!r} is not supported; supported: silu")
