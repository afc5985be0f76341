"""Ling 3: Bailing's hybrid of Kimi delta attention and gated latent attention; experts in groups.

The last layer of each group of layers has latent attention, all before it have states. Its
predecessors' hybrids (lightning attention: Ring-linear, Ling 2.5) are other networks under other
names, and not served.
"""

from dataclasses import replace
from typing import Any

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.bailing_moe import NAMES
from radixloom_runtime.models.config import ModelConfig, common, required
from radixloom_runtime.models.config_latent import parse_latent
from radixloom_runtime.models.config_linear import KimiDelta, LinearAttention, linear_layers
from radixloom_runtime.models.config_moe import (
    Moe,
    Scoring,
    parse_groups,
    parse_moe,
    routed_and_shared,
    sparse_after_first,
)
from radixloom_runtime.models.config_rope import Raw, described_rope, rope_kind

_NAMES_OF_V5 = {
    "max_position_embeddings": "model_max_length",
    "norm_topk_prob": "moe_renormalize",
    "n_group": "num_expert_group",
    "num_experts_per_tok": "num_experts_per_token",
    "n_shared_experts": "num_shared_experts",
    "short_conv_kernel_size": "linear_conv_kernel_dim",
}
_DEFAULTS: Raw = {
    "layer_group_size": 6,
    "first_k_dense_replace": 2,
    "norm_topk_prob": True,
    "n_shared_experts": 1,
    "short_conv_kernel_size": 4,
    "rope_theta": 6_000_000.0,
    "kda_safe_gate": True,
    "kda_lower_bound": -5.0,
}
_ONLY: Raw = {
    "attention_bias": False,
    "hidden_act": "silu",
    "score_function": "sigmoid",
    "tie_word_embeddings": False,
}
"""What is wanted of these keys, where config.json names them."""


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    raw = _DEFAULTS | {old: raw[new] for old, new in _NAMES_OF_V5.items() if new in raw} | raw
    _refuse_unknown(raw)
    latent = replace(parse_latent(raw), gate="g_proj")
    return common(
        raw,
        names=replace(NAMES, linear=NAMES.attention),
        latent=latent,
        linear=_linear(raw),
        num_kv_heads=1,  # what is kept is shared by all heads
        head_dim=latent.nope_dim + latent.rope_dim,
        rotary_dim=latent.rope_dim,
        rope_interleaved=True,
        moe=_moe(raw),
        sparse_layers=_sparse_layers(raw),
    )


def _linear(raw: Raw) -> LinearAttention:
    num_heads: int = raw.get("linear_num_heads") or raw["num_attention_heads"]
    head_dim: int = raw.get("linear_head_dim") or required(raw, "head_dim", int)
    lower_bound = float(raw["kda_lower_bound"]) if raw["kda_safe_gate"] else None
    return LinearAttention(
        layers=linear_layers(raw, period="layer_group_size"),
        num_key_heads=num_heads,
        num_heads=num_heads,
        key_dim=head_dim,
        value_dim=head_dim,
        taps=required(raw, "short_conv_kernel_size", int),
        kimi=KimiDelta(lower_bound),
    )


def _moe(raw: Raw) -> Moe:
    return parse_moe(
        raw,
        scoring=Scoring.SIGMOID,
        groups=parse_groups(raw, num_best=2),
        choice_bias="expert_bias",
        **routed_and_shared(raw),
    )


def _sparse_layers(raw: Raw) -> tuple[bool, ...]:
    types: list[str] | None = raw.get("mlp_layer_types")
    if types is None:
        return sparse_after_first(raw)
    if len(types) != raw["num_hidden_layers"] or not set(types) <= {"dense", "sparse"}:
        raise ModelError(
            f"config.json wants {raw['num_hidden_layers']} mlp_layer_types of dense and sparse,"
            f" found {types}"
        )
    return tuple(kind == "sparse" for kind in types)


def _refuse_unknown(raw: Raw) -> None:
    found: dict[str, Any] = {
        key: raw[key] for key in _ONLY if raw.get(key, _ONLY[key]) != _ONLY[key]
    }
    described = described_rope(raw)
    kind = rope_kind(described)
    if kind != "default":
        found["rope_type"] = kind
    for key, value in found.items():
        wanted = _ONLY.get(key, "default")
        raise ModelError(
            f"{key} {value!r} of a Bailing hybrid is not supported; only {wanted!r} is"
        )
