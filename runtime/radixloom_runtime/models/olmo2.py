"""OLMo 2: norms after each block instead of before it (`Olmo2ForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, QKNorm, common
from radixloom_runtime.models.config_names import LayerNorms
from radixloom_runtime.models.config_rope import Raw


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    bias = bool(raw.get("attention_bias", False))
    norms = LayerNorms(
        attention_in=None,
        attention_out="post_attention_layernorm",
        mlp_in=None,
        mlp_out="post_feedforward_layernorm",
    )
    return common(raw, qkv_bias=bias, out_bias=bias, qk_norm=QKNorm.WHOLE, norms=norms)
