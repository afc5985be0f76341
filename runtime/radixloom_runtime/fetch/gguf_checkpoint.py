"""Make a Hugging Face checkpoint folder of a GGUF file, without torch.

Handles the `llama` architecture with a byte-level BPE tokenizer (`gpt2`), which is what the demo
model is; anything else is refused by name.

Two things in a GGUF are not what a checkpoint wants:
- its weights are quantized: here they become bfloat16 (rounded to nearest, ties to even);
- the rows of q and k are permuted for another layout of rotary pairs, and are put back.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import safetensors_file
from radixloom_runtime.fetch.gguf_tokenizer import Metadata, write_tokenizer

ARCHITECTURE = "llama"

_OUTSIDE_LAYERS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf_file: Path, folder: Path) -> None:
    """Write config.json, model.safetensors, generation_config.json and the tokenizer to `folder`.

    Raises: `FetchError` for an architecture, tokenizer or tensor that is not supported.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf_file)
    metadata: Metadata = {name: field.contents() for name, field in reader.fields.items()}
    _refuse_unknown(metadata)
    has_head = any(tensor.name == "output.weight" for tensor in reader.tensors)
    config = checkpoint_config(metadata, tie_word_embeddings=not has_head)
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation_config(config))
    write_tokenizer(metadata, folder)
    _write_weights(reader.tensors, config, folder / "model.safetensors")


def checkpoint_config(metadata: Metadata, *, tie_word_embeddings: bool) -> dict[str, Any]:
    """Say in the words of config.json what the GGUF's metadata says."""
    hidden, heads = metadata["llama.embedding_length"], metadata["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "head_dim": metadata.get("llama.rope.dimension_count", hidden // heads),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", heads),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
        "rms_norm_eps": _as_written(metadata["llama.attention.layer_norm_rms_epsilon"]),
        "rope_scaling": None,
        "rope_theta": _as_written(metadata.get("llama.rope.freq_base", 10000.0)),
        "tie_word_embeddings": tie_word_embeddings,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
    }


def undo_permutation(weight: NDArray[Any], num_heads: int) -> NDArray[Any]:
    """Put the rows of a q or k projection `[heads*head_dim, in]` back in the checkpoint's order.

    GGUF pairs rotary dimensions as neighbours (0,1), (2,3), ...; checkpoints pair each dimension of
    the first half with one of the second.
    """
    rows, columns = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def to_bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to bfloat16, to nearest with ties to even; the result holds its raw bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    to_even = (bits >> 16) & 1
    return ((bits + 0x7FFF + to_even) >> 16).astype(np.uint16)


def checkpoint_name(gguf_name: str) -> str:
    """Translate a tensor's name: `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`.

    Raises: `FetchError` for a tensor that a llama checkpoint does not have.
    """
    if name := _OUTSIDE_LAYERS.get(gguf_name):
        return name
    parts = gguf_name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _IN_A_LAYER and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{_IN_A_LAYER[parts[2]]}.weight"
    raise FetchError(
        f"the GGUF has a tensor {gguf_name!r} that a {ARCHITECTURE} checkpoint does not;"
        " this converter would lose it"
    )


def _refuse_unknown(metadata: Metadata) -> None:
    found = metadata.get("general.architecture")
    if found != ARCHITECTURE:
        raise FetchError(f"wanted a GGUF of architecture {ARCHITECTURE!r}, found {found!r}")
    if scaling := metadata.get("llama.rope.scaling.type"):
        raise FetchError(f"the GGUF scales its rope ({scaling!r}), which is not converted")


def _write_weights(tensors: list[Any], config: dict[str, Any], path: Path) -> None:
    # GGUF counts axes from the fastest; two bytes per bfloat16.
    entries = [
        safetensors_file.Entry(
            name=checkpoint_name(tensor.name),
            dtype="BF16",
            shape=[int(length) for length in reversed(tensor.shape)],
            num_bytes=int(tensor.n_elements) * 2,
        )
        for tensor in tensors
    ]
    safetensors_file.write(path, entries, (_converted(tensor, config) for tensor in tensors))


def _converted(tensor: Any, config: dict[str, Any]) -> bytes:
    from gguf.quants import dequantize

    weight = dequantize(tensor.data, tensor.tensor_type)
    if ".attn_q." in tensor.name:
        weight = undo_permutation(weight, config["num_attention_heads"])
    elif ".attn_k." in tensor.name:
        weight = undo_permutation(weight, config["num_key_value_heads"])
    return to_bfloat16_bits(weight).tobytes()


def _generation_config(config: dict[str, Any]) -> dict[str, Any]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"_from_model_config": True, **{name: config[name] for name in names}}


def _as_written(stored: float) -> float:
    """Undo float32's tail: 9.999999747378752e-06 was written as 1e-05."""
    return float(str(np.float32(stored)))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
