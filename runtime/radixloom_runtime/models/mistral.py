"""Mistral 7B and its kin: Llama's layers, with a window in some releases (`MistralForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import everywhere


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    return common(raw, windows=everywhere(raw))
