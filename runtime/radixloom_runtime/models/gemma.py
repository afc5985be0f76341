"""Gemma 2 and Gemma 3 for text: norms on both sides of a block, some layers with a window.

Gemma 2 caps attention scores and logits softly; Gemma 3 norms queries and keys instead, and turns
its windowed layers by a base of their own.
"""

from typing import Any

from radixloom_runtime.models.config import ModelConfig, QKNorm, activation, common, required
from radixloom_runtime.models.config_names import LayerNorms
from radixloom_runtime.models.config_rope import Raw, Rope, parse_rope, rope_of
from radixloom_runtime.models.windows import by_type

_GLOBAL, _LOCAL = 0, 1


def configure_gemma2(raw: Raw) -> ModelConfig:
    """Describe Gemma 2: every second layer sees all."""
    return common(raw, **_shared(raw), windows=by_type(raw, period=2))


def configure_gemma3(raw: Raw) -> ModelConfig:
    """Describe Gemma 3: every sixth layer sees all, unless config.json says otherwise."""
    windows = by_type(raw, period=raw.get("sliding_window_pattern") or 6)
    return common(
        raw,
        **_shared(raw),
        windows=windows,
        qk_norm=QKNorm.HEAD,
        ropes=_ropes(raw),
        rope_of_layer=tuple(_GLOBAL if window is None else _LOCAL for window in windows),
    )


def _shared(raw: Raw) -> dict[str, Any]:
    bias = bool(raw.get("attention_bias", False))
    return {
        "qkv_bias": bias,
        "out_bias": bias,
        "tie_embeddings": bool(raw.get("tie_word_embeddings", True)),
        "activation": activation(
            {"hidden_activation": "gelu_pytorch_tanh"} | raw, "hidden_activation"
        ),
        "attention_scale": required(raw, "query_pre_attn_scalar", int) ** -0.5,
        "attention_soft_cap": raw.get("attn_logit_softcapping"),
        "logit_soft_cap": raw.get("final_logit_softcapping"),
        "embed_scale": required(raw, "hidden_size", int) ** 0.5,
        "norm_around_one": True,
        "norms": LayerNorms(
            attention_out="post_attention_layernorm",
            mlp_in="pre_feedforward_layernorm",
            mlp_out="post_feedforward_layernorm",
        ),
    }


def _ropes(raw: Raw) -> tuple[Rope, Rope]:
    described: Raw = raw.get("rope_parameters") or {}
    if "full_attention" in described:  # the v5 schema
        kinds = (described["full_attention"], described["sliding_attention"])
        return (rope_of(kinds[0], 1e6), rope_of(kinds[1], 1e4))
    return parse_rope(raw), Rope(float(raw.get("rope_local_base_freq") or 1e4))
