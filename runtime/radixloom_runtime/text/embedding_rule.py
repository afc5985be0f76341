"""How a checkpoint wants its embeddings made, as sentence-transformers writes it down.

    modules.json            Transformer, Pooling, perhaps Normalize: in this order, nothing else
    1_Pooling/config.json   which tokens' hidden states are averaged

A GGUF has a number for it. A checkpoint without either generates text; its embeddings are the last
token's state, normalised.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from radixloom_runtime.errors import ModelError
from radixloom_runtime.wire.messages import Pooling

_MODES: dict[str, Pooling] = {
    "lasttoken": "last",
    "mean": "mean",
    "cls": "first",
    "mean_tokens": "mean",
    "cls_token": "first",
}
"""Of Pooling's configuration: the values of `pooling_mode`, and the ends of its older switches."""
_GGUF_POOLINGS: dict[Any, Pooling] = {1: "mean", 2: "first", 3: "last"}
"""By llama.cpp's `llama_pooling_type`; others are none, and rankers."""
_PREFIX = "pooling_mode_"
_KINDS = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class EmbeddingRule:
    """How embeddings are made."""

    pooling: Pooling = "last"
    normalizes: bool = True
    is_declared: bool = False
    """The checkpoint says so: it was trained to embed."""
    problem: str = ""
    """Why embeddings of this checkpoint would be wrong; empty: they are right."""


def load(folder: Path) -> EmbeddingRule:
    """Read the rule of a checkpoint's folder. Raises: `ModelError` for a file that is no JSON."""
    modules = _read(folder / "modules.json")
    if not isinstance(modules, list):
        return EmbeddingRule()
    kinds = [_kind(module) for module in modules]
    if "Pooling" not in kinds:  # a ranker of sentence-transformers
        return EmbeddingRule(problem=f"modules.json has no Pooling, only {', '.join(kinds)}")
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown or kinds != [kind for kind in _KINDS if kind in kinds]:
        return EmbeddingRule(
            is_declared=True,
            problem=f"modules.json wants {', '.join(kinds)}; {', '.join(_KINDS)} are supported",
        )
    path = str(modules[kinds.index("Pooling")].get("path") or "1_Pooling")
    pooling = _pooling(_read(folder / path / "config.json"))
    if pooling is None:
        return EmbeddingRule(
            is_declared=True,
            problem=f"{path}/config.json wants none or several of {', '.join(_MODES)}, or another"
            " pooling; one of these is supported",
        )
    return EmbeddingRule(pooling, "Normalize" in kinds, is_declared=True)


def of_gguf(metadata: Mapping[str, Any]) -> EmbeddingRule:
    """Read the rule of a GGUF's metadata."""
    architecture = metadata.get("general.architecture")
    pooling = _GGUF_POOLINGS.get(metadata.get(f"{architecture}.pooling_type"))
    return EmbeddingRule() if pooling is None else EmbeddingRule(pooling, is_declared=True)


def _kind(module: Any) -> str:
    """Return the last part of a module's class: where it lies has changed over versions."""
    kind = module.get("type") if isinstance(module, dict) else None
    return str(kind).rpartition(".")[2]


def _pooling(config: Any) -> Pooling | None:
    if not isinstance(config, dict):
        return None
    mode = config.get("pooling_mode")
    if mode is None:
        switched_on = [
            key.removeprefix(_PREFIX)
            for key, value in config.items()
            if key.startswith(_PREFIX) and value is True
        ]
        mode = switched_on[0] if len(switched_on) == 1 else None
    return _MODES.get(mode) if isinstance(mode, str) else None


def _read(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ModelError(f"{path} is no JSON: {error}; fetch the model again") from error
