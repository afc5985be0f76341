"""Mixtral: Mistral's layers with eight experts (`MixtralForCausalLM`)."""

from radixloom_runtime.models.config import ModelConfig, common, required
from radixloom_runtime.models.config_moe import parse_moe
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import everywhere


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    moe = parse_moe(
        raw,
        expert_dim=required(raw, "intermediate_size", int),
        normalizes_weights=True,
        block="block_sparse_moe",
        names=("w1", "w3", "w2"),
    )
    sparse = (True,) * required(raw, "num_hidden_layers", int)
    return common(raw, windows=everywhere(raw), moe=moe, sparse_layers=sparse)
