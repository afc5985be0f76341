"""Llama 1-3, SmolLM and all that share their layers (`LlamaForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_rope import Raw


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    bias = bool(raw.get("attention_bias", False))
    return common(raw, qkv_bias=bias, out_bias=bias, mlp_bias=bool(raw.get("mlp_bias", False)))
