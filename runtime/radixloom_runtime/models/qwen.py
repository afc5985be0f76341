"""Qwen 1 (`QWenLMHeadModel`): Llama's layers by other names, biases on queries, keys and values.

Beyond `seq_length` the original stretches its rope with the length of the prompt (dynamic NTK) and
scales queries by the logarithm of their position: what is cached would have to turn again. So a
request ends there; below it, neither changes anything.
"""

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig, common, required
from radixloom_runtime.models.config_names import LayerNorms, Names
from radixloom_runtime.models.config_rope import Raw

_NAMES = Names(
    embedding="transformer.wte",
    layer="transformer.h.{layer}",
    final_norm="transformer.ln_f",
    attention="attn",
    qkv=("c_attn",),
    attention_out="c_proj",
    gate_up=("w2", "w1"),
    down="c_proj",
)
_ONLY: Raw = {
    "no_bias": True,
    "rotary_pct": 1.0,
    "scale_attn_weights": True,
    "tie_word_embeddings": False,
}
"""What is wanted of these keys, where config.json names them."""


def configure(raw: Raw) -> ModelConfig:
    """Describe the family. Raises: `ModelError`."""
    for key, wanted in _ONLY.items():
        if raw.get(key, wanted) != wanted:
            raise ModelError(f"{key} {raw[key]!r} of a Qwen 1 is not supported; only {wanted!r} is")
    length: int = raw.get("seq_length") or 8192
    described = {
        "intermediate_size": required(raw, "intermediate_size", int) // 2,  # of both halves
        "rms_norm_eps": raw.get("layer_norm_epsilon", 1e-6),
        "rope_theta": raw.get("rotary_emb_base", 10_000.0),
        "head_dim": raw.get("kv_channels"),
        "max_position_embeddings": min(length, raw.get("max_position_embeddings") or length),
    }
    return common(
        raw | described,
        names=_NAMES,
        norms=LayerNorms(attention_in="ln_1", mlp_in="ln_2"),
        qkv_bias=True,
    )
