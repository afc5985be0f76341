"""Qwen 2 and Qwen 3 with experts in all or some layers; Qwen 2 has a shared one beside them."""

from dataclasses import replace

from radixloom_runtime.models import qwen2, qwen3
from radixloom_runtime.models.config import ModelConfig, required
from radixloom_runtime.models.config_moe import parse_moe, sparse_layers
from radixloom_runtime.models.config_rope import Raw


def configure_qwen2(raw: Raw) -> ModelConfig:
    """Describe Qwen 1.5 and 2 with experts."""
    shared_dim = required(raw, "shared_expert_intermediate_size", int)
    moe = parse_moe(raw, shared_dim=shared_dim)
    return replace(qwen2.configure(raw), moe=moe, sparse_layers=sparse_layers(raw))


def configure_qwen3(raw: Raw) -> ModelConfig:
    """Describe Qwen 3 with experts."""
    return replace(qwen3.configure(raw), moe=parse_moe(raw), sparse_layers=sparse_layers(raw))
