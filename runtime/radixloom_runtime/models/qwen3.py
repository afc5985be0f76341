"""Qwen 3, dense: each head's queries and keys are normed (`Qwen3ForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, QKNorm, common
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import after_layer


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    bias = bool(raw.get("attention_bias", False))
    return common(raw, qkv_bias=bias, out_bias=bias, qk_norm=QKNorm.HEAD, windows=after_layer(raw))
