"""Phi-3 and Phi-4 mini: fused projections, a window (`Phi3ForCausalLM`).

The long-context releases have two sets of angles ("longrope"); an engine takes one for all of its
requests, by the longest that it serves (ADR 0019).
"""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_names import Names
from radixloom_runtime.models.config_rope import Raw, parse_rope
from radixloom_runtime.models.windows import everywhere


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    names = Names(qkv=("qkv_proj",), gate_up=("gate_up_proj",))
    ropes = (parse_rope(raw, may_be_long=True),)
    return common(raw, names=names, windows=everywhere(raw), ropes=ropes)
