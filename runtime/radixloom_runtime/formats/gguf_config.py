"""A GGUF's metadata in the words of a checkpoint's config.json.

Only what is understood is read: a key about the architecture that no table here knows may change
what the network computes, so it is refused by its name.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_file import GGUFFile, Metadata
from radixloom_runtime.formats.gguf_names import ROPE_FACTORS

_T = TypeVar("_T")
_DEFAULT_THETA = 10_000.0

_COMMON_KEYS = frozenset(
    {
        *("block_count", "context_length", "embedding_length", "feed_forward_length"),
        *("vocab_size", "tensor_data_layout"),
        *("attention.head_count", "attention.head_count_kv"),
        *("attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon"),
        *("rope.dimension_count", "rope.freq_base"),
        *("rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"),
        "rope.scaling.finetuned",
    }
)
_EXPERT_KEYS = frozenset(
    {"expert_count", "expert_used_count", "expert_feed_forward_length", "expert_weights_norm"}
)
_SHARED_EXPERT_KEYS = frozenset({"expert_shared_feed_forward_length"})


class _Words:
    """The metadata of one architecture."""

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.file = file
        self._prefix = f"{architecture}."
        self._metadata = file.metadata

    def keys(self) -> list[str]:
        return [
            key.removeprefix(self._prefix) for key in self._metadata if key.startswith(self._prefix)
        ]

    def get(self, key: str, default: Any = None) -> Any:
        return self._metadata.get(self._prefix + key, default)

    def number(self, key: str) -> int:
        """Return what must be one whole number. Raises: `ModelError`."""
        return self.required(key, int)

    def required(self, key: str, kind: type[_T]) -> _T:
        """Return what must be there. Raises: `ModelError`."""
        value = self.get(key)
        if isinstance(value, list) and len(set(value)) == 1:
            value = value[0]  # the same in all layers
        if not isinstance(value, kind):
            raise ModelError(
                f"{self.file.path} wants {self._prefix}{key} as one {kind.__name__}, found"
                f" {value!r}"
            )
        return value


def checkpoint_config(file: GGUFFile) -> dict[str, Any]:
    """Say in the words of config.json what the file says. Raises: `ModelError`."""
    name = file.metadata.get("general.architecture")
    describe, keys = _ARCHITECTURES.get(str(name), (None, frozenset[str]()))
    if describe is None:
        raise ModelError(
            f"{file.path} is of architecture {name!r}, which is not supported as a GGUF; supported:"
            f" {', '.join(sorted(_ARCHITECTURES))}. Serve the model's safetensors instead"
        )
    words = _Words(file, str(name))
    if unknown := sorted(set(words.keys()) - keys - _COMMON_KEYS):
        raise ModelError(
            f"{file.path} says {name}.{unknown[0]}, which is not understood; serving it without"
            " could give wrong answers. Serve the model's safetensors instead"
        )
    return _common(words) | describe(words)


def _common(words: _Words) -> dict[str, Any]:
    file = words.file
    hidden, heads = words.number("embedding_length"), words.number("attention.head_count")
    kv_heads = "attention.head_count_kv"
    return {
        "head_dim": _head_dim(words, hidden // heads),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": words.number("feed_forward_length"),
        "max_position_embeddings": words.number("context_length"),
        "num_attention_heads": heads,
        "num_hidden_layers": words.number("block_count"),
        "num_key_value_heads": heads if words.get(kv_heads) is None else words.number(kv_heads),
        "rms_norm_eps": _as_written(words.required("attention.layer_norm_rms_epsilon", float)),
        "rope_scaling": _rope_scaling(words),
        "rope_theta": _as_written(words.get("rope.freq_base", _DEFAULT_THETA)),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "torch_dtype": _dtype(file),
        "vocab_size": _vocab_size(file),
        **special_token_ids(file.metadata),
    }


def special_token_ids(metadata: Metadata) -> dict[str, Any]:
    """Name what begins, ends and fills up texts; a turn may end otherwise than a text."""
    prefix = "tokenizer.ggml."
    eos, eot = (metadata.get(f"{prefix}{role}_token_id") for role in ("eos", "eot"))
    return {
        "bos_token_id": metadata.get(f"{prefix}bos_token_id"),
        "eos_token_id": eos if eot is None or eot == eos else [eos, eot],
        "pad_token_id": metadata.get(f"{prefix}padding_token_id"),
    }


def _head_dim(words: _Words, default: int) -> int:
    """Return the size of a head: one for keys, values, and all that turns."""
    found = words.get("attention.key_length", default)
    for key in ("attention.value_length", "rope.dimension_count"):
        other = words.get(key, found)
        if other != found:
            raise ModelError(
                f"{words.file.path} has heads of {found} and {key} {other}: others than the whole"
                " head are not supported in a GGUF. Serve the model's safetensors instead"
            )
    return found


def _vocab_size(file: GGUFFile) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError(f"{file.path} has no tensor token_embd.weight: it is no language model")
    return embedding.shape[0]


def _dtype(file: GGUFFile) -> str:
    """Return float32 if all matrices are; whatever is of fewer bits fits bfloat16's precision."""
    kinds = {str(tensor.kind) for tensor in file.tensors.values() if len(tensor.shape) > 1}
    return "float32" if kinds == {"float32"} else "bfloat16"


def _rope_scaling(words: _Words) -> dict[str, Any] | None:
    factors = words.file.tensors.get(ROPE_FACTORS)
    kind = words.get("rope.scaling.type", "none")
    if factors is not None and kind == "none":
        listed = factors.mapped().astype(float).tolist()
        return {"rope_type": "pair_factors", "pair_factors": listed}
    if kind == "none":
        return None
    if factors is not None or kind not in ("linear", "yarn"):
        raise ModelError(
            f"{words.file.path} scales its rope ({kind!r}) in a way that is not supported in a"
            " GGUF; supported: linear, yarn, or a tensor of factors"
        )
    scaling = {"rope_type": kind, "factor": words.get("rope.scaling.factor")}
    original = words.get("rope.scaling.original_context_length")
    if original is not None:
        scaling["original_max_position_embeddings"] = original
    return scaling


def _llama(words: _Words) -> dict[str, Any]:
    if not words.get("expert_count"):
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": "blk.0.attn_q.bias" in words.file.tensors,
            "mlp_bias": "blk.0.ffn_up.bias" in words.file.tensors,
        }
    return _experts(words) | {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"}


def _qwen2(_: _Words) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "use_sliding_window": False,
    }


def _qwen2_moe(words: _Words) -> dict[str, Any]:
    shared = words.file.tensors.get("blk.0.ffn_up_shexp.weight")
    return _experts(words, normalizes=False) | {
        "architectures": ["Qwen2MoeForCausalLM"],
        "model_type": "qwen2_moe",
        "use_sliding_window": False,
        "shared_expert_intermediate_size": None if shared is None else shared.shape[0],
    }


def _qwen3(_: _Words) -> dict[str, Any]:
    return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False}


def _qwen3_moe(words: _Words) -> dict[str, Any]:
    return _experts(words) | {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "attention_bias": False,
    }


def _experts(words: _Words, *, normalizes: bool = True) -> dict[str, Any]:
    """Describe experts in all layers.

    Whether the chosen ones' weights sum to one is seldom in the file: it is fixed for each
    architecture, as in llama.cpp.
    """
    num_experts = words.number("expert_count")
    stacked = words.file.tensors.get("blk.0.ffn_up_exps.weight")
    if stacked is None or stacked.shape[0] != num_experts:
        found = "none" if stacked is None else stacked.shape
        raise ModelError(
            f"tensor blk.0.ffn_up_exps.weight of {words.file.path}: wanted {num_experts} experts,"
            f" found {found}"
        )
    return {
        "num_experts": num_experts,
        "num_experts_per_tok": words.number("expert_used_count"),
        "moe_intermediate_size": stacked.shape[1],
        "norm_topk_prob": bool(words.get("expert_weights_norm", normalizes)),
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _as_written(stored: float) -> float:
    """Undo float32's tail: 9.999999747378752e-06 was written as 1e-05."""
    return float(str(np.float32(stored)))


_ARCHITECTURES: Mapping[str, tuple[Callable[[_Words], dict[str, Any]], frozenset[str]]] = {
    "llama": (_llama, _EXPERT_KEYS),
    "qwen2": (_qwen2, frozenset()),
    "qwen2moe": (_qwen2_moe, _EXPERT_KEYS | _SHARED_EXPERT_KEYS),
    "qwen3": (_qwen3, frozenset()),
    "qwen3moe": (_qwen3_moe, _EXPERT_KEYS),
}
"""By their names in a GGUF: what is their own, and which keys are."""
