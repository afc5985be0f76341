"""Qwen3-Next: three layers with a gated delta net, then one with gated attention; experts."""

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig, QKNorm, common, required
from radixloom_runtime.models.config_linear import LinearAttention, linear_layers
from radixloom_runtime.models.config_moe import parse_moe, sparse_layers
from radixloom_runtime.models.config_rope import Raw


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    raw = {"full_attention_interval": 4, "partial_rotary_factor": 0.25, "head_dim": 256} | raw
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(
            f"hidden_act {raw['hidden_act']!r} of a Qwen3-Next is not supported; only 'silu' is"
        )
    bias = bool(raw.get("attention_bias", False))
    return common(
        raw,
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=QKNorm.HEAD,
        norm_around_one=True,
        gates_attention=True,
        linear=_linear(raw),
        moe=parse_moe(raw, shared_dim=required(raw, "shared_expert_intermediate_size", int)),
        sparse_layers=sparse_layers(raw),
    )


def _linear(raw: Raw) -> LinearAttention:
    linear = LinearAttention(
        layers=linear_layers(raw, period="full_attention_interval"),
        num_key_heads=required(raw, "linear_num_key_heads", int),
        num_heads=required(raw, "linear_num_value_heads", int),
        key_dim=required(raw, "linear_key_head_dim", int),
        value_dim=required(raw, "linear_value_head_dim", int),
        taps=required(raw, "linear_conv_kernel_dim", int),
    )
    if linear.num_heads % linear.num_key_heads:
        raise ModelError(
            f"{linear.num_heads} value heads of linear attention are not a multiple of"
            f" {linear.num_key_heads} key heads"
        )
    return linear
