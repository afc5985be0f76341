"""A LoRA adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.

    base_model.model.<module>.lora_A.weight   [rank, in]
    base_model.model.<module>.lora_B.weight   [out, rank]

    what is added to the module's matrix: scale * B A, scale = alpha / rank (or alpha / sqrt(rank))

What else PEFT can do (DoRA, biases, whole modules, embeddings, experts) changes more than that: it
is refused by its name in the configuration.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.tensor_file import TensorFile

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_PREFIX = "base_model.model."
_REFUSED = (
    "use_dora",
    "use_qalora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "megatron_config",
    "alora_invocation_tokens",
)
"""Fields of a configuration that must ask for nothing."""
_FLOATS = frozenset({"bfloat16", "float16", "float32", "float64"})
_CHANGING_THE_BASE = ("pissa", "olora", "corda", "loftq")
"""Initialisations that move a part of the model's own weights into the adapter."""


@dataclass(frozen=True, slots=True)
class LowRankPair:
    """What changes one module."""

    down: NDArray[Any]
    """[rank, in]"""
    up: NDArray[Any]
    """[out, rank], the scale not yet in it."""


@dataclass(frozen=True, slots=True)
class PeftAdapter:
    """An adapter, mapped."""

    folder: Path
    rank: int
    scale: float
    pairs: Mapping[str, LowRankPair]
    """By the module's name in the checkpoint: "model.layers.0.self_attn.q_proj"."""


def read_adapter(folder: Path) -> PeftAdapter:
    """Read configuration and header. Raises: `ModelError` naming what is not supported."""
    config = _read_config(folder)
    rank = _positive(folder, config, "r")
    if not isinstance(rank, int):
        raise ModelError(f"{folder / CONFIG}: wanted a whole number as r, found {rank!r}")
    alpha = _positive(folder, config, "lora_alpha")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return PeftAdapter(folder, rank, scale, _pairs(folder, rank))


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = dict[str, Any](json.loads((folder / CONFIG).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"wanted an adapter as PEFT saves it in {folder}, but its {CONFIG} cannot be read:"
            f" {error}"
        ) from error
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelError(f"{folder / CONFIG}: wanted peft_type LORA, found {kind!r}")
    refused = [f"{name} {config[name]!r}" for name in _REFUSED if config.get(name)]
    if config.get("bias", "none") != "none":
        refused.append(f"bias {config['bias']!r}")
    start = str(config.get("init_lora_weights", "")).lower()
    if start.startswith(_CHANGING_THE_BASE):
        refused.append(f"init_lora_weights {start!r}, unless it was saved as a plain adapter")
    if refused:
        raise ModelError(
            f"{folder / CONFIG} asks for what is not supported: {', '.join(refused)}; merge the"
            " adapter into its model and serve that"
        )
    return config


def _positive(folder: Path, config: Mapping[str, Any], name: str) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ModelError(f"{folder / CONFIG}: wanted a number above 0 as {name}, found {value!r}")
    return value


def _pairs(folder: Path, rank: int) -> dict[str, LowRankPair]:
    file = TensorFile(folder / WEIGHTS)
    halves: dict[str, dict[str, NDArray[Any]]] = {}
    for name in file:
        module, dot, half = name.removeprefix(_PREFIX).rpartition(".lora_")
        if not dot or half not in {"A.weight", "B.weight"} or not name.startswith(_PREFIX):
            raise ModelError(
                f"{folder / WEIGHTS}: wanted {_PREFIX}<module>.lora_A.weight and .lora_B.weight"
                f" alone, found {name}, which is not supported"
            )
        halves.setdefault(module, {})[half[0]] = file.tensor(name)
    return {module: _pair(folder, module, found, rank) for module, found in halves.items()}


def _pair(folder: Path, module: str, found: Mapping[str, NDArray[Any]], rank: int) -> LowRankPair:
    if len(found) != 2:
        raise ModelError(f"{folder / WEIGHTS}: {module} has lora_{next(iter(found))} alone")
    down, up = found["A"], found["B"]
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != rank or up.shape[1] != rank:
        raise ModelError(
            f"{folder / WEIGHTS}: wanted [{rank}, in] and [out, {rank}] for {module}, found"
            f" {list(down.shape)} and {list(up.shape)}"
        )
    if not {down.dtype.name, up.dtype.name} <= _FLOATS:
        raise ModelError(
            f"{folder / WEIGHTS}: wanted {' or '.join(sorted(_FLOATS))} for {module}, found"
            f" {down.dtype} and {up.dtype}"
        )
    return LowRankPair(down, up)
