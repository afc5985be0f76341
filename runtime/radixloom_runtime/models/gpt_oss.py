"""gpt-oss (`GptOssForCausalLM`): experts in every layer, and scores that lead to no token.

Layers with and without a window take turns. Each query head has a sink: a score of its own in the
softmax, which gives no value. Everything but the norms has a bias. An expert's activation is SwiGLU
with both sides cut at a limit, and with one added to what it multiplies.

Experts come in MXFP4, or in floats.
"""

import math

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.mxfp4 import GROUP
from radixloom_runtime.models.config import ModelConfig, common, required
from radixloom_runtime.models.config_moe import CutSwiGLU, parse_moe
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import by_type


def configure(raw: Raw) -> ModelConfig:
    """Describe the family. Raises: `ModelError`."""
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(f"hidden_act {raw['hidden_act']!r} of a gpt-oss is not supported; silu is")
    expert_dim = required(raw, "intermediate_size", int)
    moe = parse_moe(
        raw,
        expert_dim=expert_dim,
        unit=math.gcd(expert_dim, GROUP),  # so that no device's part cuts a block of its experts
        normalizes_weights=True,  # shares of the chosen alone
        router="router",
        has_router_bias=True,
        has_expert_bias=True,
        cut_swiglu=CutSwiGLU(
            limit=float(raw.get("swiglu_limit") or 7.0),
            slope=float(raw.get("swiglu_alpha") or 1.702),
        ),
        is_fused=True,
        names=("gate_up_proj", "gate_up_proj", "down_proj"),
    )
    bias = bool(raw.get("attention_bias", True))
    return common(
        raw,
        windows=by_type(raw, period=2),
        has_sinks=True,
        qkv_bias=bias,
        out_bias=bias,
        moe=moe,
        sparse_layers=(True,) * required(raw, "num_hidden_layers", int),
    )
