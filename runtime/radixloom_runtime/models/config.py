"""What a checkpoint's config.json says, in one frozen type.

Two schemas are in the wild and mean the same: transformers v4 (`rope_theta`, `rope_scaling`,
`torch_dtype`) and v5 (`rope_parameters`, `dtype`). `common` reads what all families write alike;
a family's file adds what is its own.
"""

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.scheme import NOT_QUANTIZED, Quantization
from radixloom_runtime.models.config_latent import Latent
from radixloom_runtime.models.config_linear import LinearAttention
from radixloom_runtime.models.config_moe import Moe
from radixloom_runtime.models.config_names import LayerNorms, Names
from radixloom_runtime.models.config_rope import (
    LongScaling,
    Raw,
    Rope,
    YarnScaling,
    parse_rope,
    rotary_dim,
)

_T = TypeVar("_T")


class Activation(Enum):
    """Between the two halves of an MLP; by its names in config.json."""

    SILU = ("silu", "swish")
    GELU_TANH = ("gelu_pytorch_tanh",)


class QKNorm(Enum):
    """Norm of queries and keys before they turn."""

    NONE = "none"
    HEAD = "head"
    """Each head by itself."""
    WHOLE = "whole"
    """All heads of a token together."""


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
    """The longest request."""
    norm_eps: float
    tie_embeddings: bool

    # --- rotary positions
    ropes: tuple[Rope, ...]
    rope_of_layer: tuple[int, ...]
    """Index into `ropes` for each layer."""
    rotary_dim: int
    rope_interleaved: bool = False
    """A pair is two neighbours, not one number of each half."""

    # --- attention
    windows: tuple[int | None, ...] = ()
    """Of each layer; empty: no layer has one."""
    attention_scale: float | None = None
    """None: 1/sqrt(head_dim)."""
    attention_soft_cap: float | None = None
    latent: Latent | None = None
    """Keys and values of all heads are made of one vector a token (MLA), which is what is kept."""
    qk_norm: QKNorm = QKNorm.NONE
    qkv_bias: bool = False
    out_bias: bool = False
    has_sinks: bool = False
    """Each query head has a score of its own in the softmax, which gives no value."""
    gates_attention: bool = False
    """What a head reads is multiplied by a gate; each head's query is stored with it."""

    # --- the rest of a layer, and what is around the layers
    names: Names = field(default_factory=Names)
    norms: LayerNorms = field(default_factory=LayerNorms)
    norm_around_one: bool = False
    """Norms multiply by 1 + their weight."""
    activation: Activation = Activation.SILU
    mlp_bias: bool = False
    moe: Moe | None = None
    sparse_layers: tuple[bool, ...] = ()
    """Which layers have experts in the place of an MLP; empty: none."""
    linear: LinearAttention | None = None
    """What some layers have in the place of attention over pages."""
    quantization: Quantization = NOT_QUANTIZED
    """How the checkpoint's matrices are stored, or what the settings make of them."""
    embed_scale: float | None = None
    logit_soft_cap: float | None = None
    has_head: bool = True
    """False: the checkpoint has no output layer, and is for embeddings alone; the table of
    embeddings stands in its place, and what it scores means nothing."""
    unit_head: bool = False
    """Each column of the output layer is divided by its length."""

    @property
    def turns_by_length(self) -> bool:
        """Whether `max_positions` changes what the network computes (LongRoPE)."""
        return any(isinstance(rope.scaling, LongScaling) for rope in self.ropes)

    @property
    def paged_layers(self) -> tuple[bool, ...]:
        """Which layers keep every token in pages."""
        if self.linear is None:
            return (True,) * self.num_layers
        return tuple(not is_linear for is_linear in self.linear.layers)

    @property
    def num_paged_layers(self) -> int:
        """How many layers add to the KV cache."""
        return sum(self.paged_layers)


def read_raw(folder: Path) -> Raw:
    """Read `folder/config.json`, or that file itself, as it is. Raises: `ModelError`."""
    path = folder if folder.is_file() else folder / "config.json"
    try:
        raw: object = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no config.json; --model wants a Hugging Face checkpoint folder"
            " (`radixloom fetch` brings one) or a .gguf file"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} should hold a JSON object, found a {type(raw).__name__}")
    return {str(key): value for key, value in raw.items()}


def common(raw: Raw, **own: Any) -> ModelConfig:
    """Read what all families write alike; `own` are fields that a family knows better.

    Raises: `ModelError`.
    """
    num_heads = required(raw, "num_attention_heads", int)
    embed_dim = required(raw, "hidden_size", int)
    num_layers = required(raw, "num_hidden_layers", int)
    head_dim: int = raw.get("head_dim") or embed_dim // num_heads
    fields: dict[str, Any] = {
        "architecture": raw["architectures"][0],
        "vocab_size": required(raw, "vocab_size", int),
        "embed_dim": embed_dim,
        "mlp_dim": required(raw, "intermediate_size", int),
        "num_layers": num_layers,
        "num_heads": num_heads,
        "num_kv_heads": raw.get("num_key_value_heads") or num_heads,
        "head_dim": head_dim,
        "norm_eps": float(raw.get("rms_norm_eps", 1e-6)),
        "tie_embeddings": bool(raw.get("tie_word_embeddings", False)),
        "rope_of_layer": (0,) * num_layers,
        "rotary_dim": rotary_dim(raw, head_dim),
        "activation": activation(raw),
    }
    if "ropes" not in own:
        fields["ropes"] = (parse_rope(raw),)
    fields["max_positions"] = _max_positions(raw, (own | fields)["ropes"])
    config = ModelConfig(**(fields | own))
    _check(config)
    return config


def required(raw: Raw, key: str, kind: type[_T]) -> _T:
    """Return what config.json must say. Raises: `ModelError`."""
    value = raw.get(key)
    if not isinstance(value, kind):
        raise ModelError(f"config.json wants {key} as {kind.__name__}, found {value!r}")
    return value


def activation(raw: Raw, key: str = "hidden_act") -> Activation:
    """Read the MLP's activation. Raises: `ModelError`."""
    name = raw.get(key, "silu")
    for known in Activation:
        if name in known.value:
            return known
    supported = ", ".join(name for known in Activation for name in known.value)
    raise ModelError(f"activation {name!r} is not supported; supported: {supported}")


def _max_positions(raw: Raw, ropes: tuple[Rope, ...]) -> int:
    """Return what config.json says, or what its YaRN reaches: some say the length before it."""
    reached = [
        round(rope.scaling.original_max_positions * rope.scaling.factor)
        for rope in ropes
        if isinstance(rope.scaling, YarnScaling)
    ]
    return max(required(raw, "max_position_embeddings", int), *reached, 0)


def _check(config: ModelConfig) -> None:
    if config.num_heads % config.num_kv_heads:
        raise ModelError(
            f"{config.num_heads} attention heads are not a multiple of"
            f" {config.num_kv_heads} key-value heads"
        )
    if config.rotary_dim % 2:
        raise ModelError(f"rotary embedding wants an even head_dim, found {config.rotary_dim}")
