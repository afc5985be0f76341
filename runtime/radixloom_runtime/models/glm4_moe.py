"""GLM-4.5 and GLM-4.6: experts chosen by sigmoid, all but in the first layers.

(`Glm4MoeForCausalLM`.) Half of a head turns, as halves and not as neighbours. The layers after the
last, which predict further tokens, are not read.
"""

from radixloom_runtime.models.config import ModelConfig, QKNorm, common
from radixloom_runtime.models.config_moe import (
    Scoring,
    parse_groups,
    parse_moe,
    routed_and_shared,
    sparse_after_first,
)
from radixloom_runtime.models.config_rope import Raw


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    moe = parse_moe(
        raw,
        scoring=Scoring.SIGMOID,
        groups=parse_groups(raw, num_best=2),
        choice_bias="e_score_correction_bias",
        **routed_and_shared(raw),
    )
    return common(
        {"partial_rotary_factor": 0.5} | raw,
        qkv_bias=bool(raw.get("attention_bias", False)),
        qk_norm=QKNorm.HEAD if raw.get("use_qk_norm") else QKNorm.NONE,
        moe=moe,
        sparse_layers=sparse_after_first(raw),
    )
