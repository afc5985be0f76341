"""DeepSeek 2 and 3 (and Kimi K2, Moonlight): latent attention, and experts in groups.

2 (`DeepseekV2ForCausalLM`): shares by softmax; a group is worth its best expert.
3 (`DeepseekV3ForCausalLM`): scores by sigmoid, chosen with a bias; a group is worth its two best.
YaRN enlarges by way of the softmax's scale. The layers after the last, which predict further
tokens, are not read.
"""

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_latent import parse_latent
from radixloom_runtime.models.config_moe import (
    Moe,
    Scoring,
    parse_groups,
    parse_moe,
    routed_and_shared,
    sparse_after_first,
)
from radixloom_runtime.models.config_rope import Raw, described_rope, rope_kind, yarn_magnitude


def configure_v2(raw: Raw) -> ModelConfig:
    """Describe DeepSeek 2, 2.5 and their Lite and Coder kin."""
    _must_be(raw, "scoring_func", "softmax")
    if raw.get("norm_topk_prob"):  # published code disagrees on whether they are scaled then, too
        raise ModelError("norm_topk_prob of a DeepSeek 2 is not supported; only false is")
    method = raw.get("topk_method", "greedy")
    if method not in {"greedy", "group_limited_greedy"}:
        raise ModelError(
            f"topk_method {method!r} is not supported; supported: greedy, group_limited_greedy"
        )
    groups = None if method == "greedy" else parse_groups(raw, num_best=1)
    return _configure(raw, parse_moe(raw, **routed_and_shared(raw), groups=groups))


def configure_v3(raw: Raw) -> ModelConfig:
    """Describe DeepSeek 3, 3.1 and R1."""
    _must_be(raw, "scoring_func", "sigmoid")
    _must_be(raw, "topk_method", "noaux_tc")
    moe = parse_moe(
        raw,
        **routed_and_shared(raw),
        scoring=Scoring.SIGMOID,
        groups=parse_groups(raw, num_best=2),
        choice_bias="e_score_correction_bias",
    )
    return _configure(raw, moe)


def _configure(raw: Raw, moe: Moe) -> ModelConfig:
    latent = parse_latent(raw)
    head_dim = latent.nope_dim + latent.rope_dim
    bias = bool(raw.get("attention_bias", False))
    return common(
        raw,
        latent=latent,
        num_kv_heads=1,  # what is kept is shared by all heads
        head_dim=head_dim,
        attention_scale=head_dim**-0.5 * _yarn_scale(raw),
        rotary_dim=latent.rope_dim,
        rope_interleaved=bool(raw.get("rope_interleave", True)),
        qkv_bias=bias,
        out_bias=bias,
        moe=moe,
        sparse_layers=sparse_after_first(raw),
    )


def _yarn_scale(raw: Raw) -> float:
    """Return YaRN's enlargement of queries and of keys: both meet in a score."""
    described = described_rope(raw)
    if rope_kind(described) == "default":  # whatever else it says
        return 1.0
    weight = described.get("mscale_all_dim")
    return yarn_magnitude(described["factor"], weight) ** 2 if weight else 1.0


def _must_be(raw: Raw, key: str, wanted: str) -> None:
    if raw.get(key, wanted) != wanted:
        raise ModelError(f"{key} {raw[key]!r} is not supported here; only {wanted!r} is")
