"""Ling: Bailing's mixtures of experts. Both call themselves "bailing_moe" in `model_type`.

1 (`BailingMoeForCausalLM`): softmax over all experts; the output layer's columns have unit length.
2 (`BailingMoeV2ForCausalLM`): experts in groups, chosen by sigmoid and a bias; queries and keys
are normed, and half of a head turns.
"""

from typing import Any

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig, QKNorm, common
from radixloom_runtime.models.config_moe import (
    Moe,
    Scoring,
    parse_groups,
    parse_moe,
    shared_experts,
    sparse_after_first,
)
from radixloom_runtime.models.config_names import Names
from radixloom_runtime.models.config_rope import Raw

NAMES = Names(
    embedding="model.word_embeddings",
    attention="attention",
    qkv=("query_key_value",),
    attention_out="dense",
    qk_norms=("query_layernorm", "key_layernorm"),
)


def configure_v1(raw: Raw) -> ModelConfig:
    """Describe Ling 1 and 1.5."""
    if raw.get("norm_softmax"):
        raise ModelError("norm_softmax of a Bailing MoE is not supported; only false is")
    return common(
        raw,
        **_shared(raw),
        moe=parse_moe(raw, **_shared_experts(raw, "moe_intermediate_size")),
        unit_head=bool(raw.get("norm_head", False)),
    )


def configure_v2(raw: Raw) -> ModelConfig:
    """Describe Ling 2 and Ring 2."""
    return common(
        {"partial_rotary_factor": 0.5} | raw,
        **_shared(raw),
        moe=moe_v2(raw),
        qk_norm=QKNorm.HEAD if raw.get("use_qk_norm", True) else QKNorm.NONE,
    )


def moe_v2(raw: Raw) -> Moe:
    """Read the experts of the second generation."""
    if raw.get("score_function", "sigmoid") != "sigmoid":
        raise ModelError(
            f"score_function {raw['score_function']!r} of a Bailing MoE is not supported;"
            " only 'sigmoid' is"
        )
    has_bias = raw.get("moe_router_enable_expert_bias", True)
    return parse_moe(
        raw,
        **_shared_experts(raw, "moe_shared_expert_intermediate_size"),
        scoring=Scoring.SIGMOID,
        groups=parse_groups(raw, num_best=2),
        choice_bias="expert_bias" if has_bias else None,
        weight_scale=float(raw.get("routed_scaling_factor") or 1.0),
    )


def _shared(raw: Raw) -> dict[str, Any]:
    return {
        "names": NAMES,
        "qkv_bias": bool(raw.get("use_qkv_bias", False)),
        "out_bias": bool(raw.get("use_bias", False)),
        "sparse_layers": sparse_after_first(raw),
    }


def _shared_experts(raw: Raw, width: str) -> dict[str, Any]:
    """All shared experts of a layer are one MLP of their widths together."""
    num: int = raw.get("num_shared_experts") or 0
    each: int = raw.get(width) or raw["moe_intermediate_size"]
    return shared_experts(num * each)
