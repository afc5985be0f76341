"""Qwen 2 and 2.5: biases on queries, keys and values (`Qwen2ForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import after_layer


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    return common(raw, qkv_bias=True, windows=after_layer(raw))
