"""Whose tensor is it: names in a GGUF and in a checkpoint of the same model.

    blk.3.attn_q.weight            model.layers.3.self_attn.q_proj.weight
    blk.3.ffn_gate_exps.weight     model.layers.3.mlp.experts.{0 ... E-1}.gate_proj.weight

A tensor that is not in the table of its architecture is refused: a model that does without a part
of its weights answers, and answers wrongly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from radixloom_runtime.errors import ModelError

_OUTSIDE_LAYERS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
ROPE_FACTORS = "rope_freqs.weight"
"""No weight: how Llama 3.1 stretches its rotary frequencies."""

_ATTENTION = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
}
_QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_MLP = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
_EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.{expert}.gate_proj",
    "ffn_up_exps": "mlp.experts.{expert}.up_proj",
    "ffn_down_exps": "mlp.experts.{expert}.down_proj",
}
_SHARED_EXPERT = {
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
_MIXTRAL = {
    "ffn_gate_inp": "block_sparse_moe.gate",
    "ffn_gate_exps": "block_sparse_moe.experts.{expert}.w1",
    "ffn_up_exps": "block_sparse_moe.experts.{expert}.w3",
    "ffn_down_exps": "block_sparse_moe.experts.{expert}.w2",
}
_QKV = frozenset({"attn_q", "attn_k", "attn_v"})


@dataclass(frozen=True, slots=True)
class Table:
    """The tensors of one architecture's layers."""

    weights: Mapping[str, str]
    biases: frozenset[str] = frozenset()
    """Which of them may have a bias."""
    pairs_rows: bool = False
    """The rows of q and k are in llama.cpp's order."""


TABLES = {
    "LlamaForCausalLM": Table(
        _ATTENTION | _MLP, frozenset({*_QKV, "attn_output", *_MLP}), pairs_rows=True
    ),
    "MixtralForCausalLM": Table(_ATTENTION | _MIXTRAL, pairs_rows=True),
    "Qwen2ForCausalLM": Table(_ATTENTION | _MLP, _QKV),
    "Qwen2MoeForCausalLM": Table(_ATTENTION | _EXPERTS | _SHARED_EXPERT, _QKV),
    "Qwen3ForCausalLM": Table(_ATTENTION | _QK_NORMS | _MLP),
    "Qwen3MoeForCausalLM": Table(_ATTENTION | _QK_NORMS | _EXPERTS),
}
"""By the architecture of the checkpoint."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which tensor of the GGUF is one of the checkpoint's."""

    gguf_name: str
    expert: int | None = None
    """The one thing of it that is meant, where it holds all experts."""
    paired: str | None = None
    """Whose heads its rows are in llama.cpp's order of: q or k."""


def origins(
    architecture: str, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, Origin]]:
    """Give each tensor of a GGUF its name in a checkpoint, or its names: one for each expert.

    Raises: `ModelError` for a tensor that such a checkpoint does not have.
    """
    table = TABLES[architecture]
    for gguf_name, shape in shapes.items():
        if gguf_name == ROPE_FACTORS:
            continue
        if name := _OUTSIDE_LAYERS.get(gguf_name):
            yield name, Origin(gguf_name)
            continue
        name, part = _in_a_layer(gguf_name, architecture, table)
        if "{expert}" in name:
            for expert in range(shape[0]):
                yield name.format(expert=expert), Origin(gguf_name, expert)
        else:
            is_paired = table.pairs_rows and part in ("attn_q", "attn_k")
            yield name, Origin(gguf_name, paired=part.removeprefix("attn_") if is_paired else None)


def _in_a_layer(gguf_name: str, architecture: str, table: Table) -> tuple[str, str]:
    """Return the name in a checkpoint, and which part of a layer it is."""
    match gguf_name.split("."):
        case ["blk", layer, part, kind] if part in table.weights:
            if kind == "weight" or (kind == "bias" and part in table.biases):
                return f"model.layers.{layer}.{table.weights[part]}.{kind}", part
        case _:
            pass
    raise ModelError(
        f"the GGUF has a tensor {gguf_name!r} that a {architecture} checkpoint does not have;"
        " without it the answers would be wrong. Serve the model's safetensors instead"
    )
