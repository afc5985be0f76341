"""Phi-3 and Phi-4 mini: fused projections, a window (`Phi3ForCausalLM`).

Not the long-context releases: their "longrope" turns all positions of a request by other angles
once it grows past a length, which cached keys cannot follow; it is refused by name.
"""

from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_names import Names
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.windows import everywhere


def configure(raw: Raw) -> ModelConfig:
    """Describe the family."""
    names = Names(qkv=("qkv_proj",), gate_up=("gate_up_proj",))
    return common(raw, names=names, windows=everywhere(raw))
