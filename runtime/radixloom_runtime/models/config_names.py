"""How a checkpoint calls its tensors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerNorms:
    """A layer's norms: what goes into a block, and what comes out of it."""

    attention_in: str | None = "input_layernorm"
    attention_out: str | None = None
    mlp_in: str | None = "post_attention_layernorm"
    mlp_out: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Everything else. "{layer}" stands for a layer's index."""

    embedding: str = "model.embed_tokens"
    layer: str = "model.layers.{layer}"
    final_norm: str = "model.norm"
    head: str = "lm_head"

    attention: str = "self_attn"
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    """One name: a tensor that holds all queries, then keys, then values."""
    attention_out: str = "o_proj"
    qk_norms: tuple[str, str] = ("q_norm", "k_norm")
    linear: str = "linear_attn"
    """Linear attention, in the layers that have it."""

    mlp: str = "mlp"
    gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    """One name: a tensor that holds both, end to end."""
    down: str = "down_proj"
