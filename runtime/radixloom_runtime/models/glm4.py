"""GLM-4 (0414), dense: four norms a layer; half of a head turns, in pairs of neighbours."""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_names import LayerNorms, Names
from radixloom_runtime.models.config_rope import Raw


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    return common(
        raw,
        qkv_bias=bool(raw.get("attention_bias", False)),
        names=Names(gate_up=("gate_up_proj",)),
        rope_interleaved=True,
        norms=LayerNorms(
            attention_out="post_self_attn_layernorm",
            mlp_in="post_attention_layernorm",
            mlp_out="post_mlp_layernorm",
        ),
    )
