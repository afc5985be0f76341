"""GGUF files of the tiny checkpoints, by another's hand: names, keys and numbers are the `gguf`
package's, and what it lacks (quantizing to the kinds of 256 numbers) is written plainly here.

`write_gguf(folder, path, kind)` writes a folder's model; `stands_for(folder, target, kind)` the
checkpoint in float32 that this GGUF means, as the package reads it.
"""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import quants
from safetensors.numpy import load_file, save_file

ARCHITECTURES = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "MixtralForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen2MoeForCausalLM": gguf.MODEL_ARCH.QWEN2MOE,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "Qwen3MoeForCausalLM": gguf.MODEL_ARCH.QWEN3MOE,
}
BLOCK_KINDS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
FLOAT_KINDS = ("F32", "F16", "BF16")


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder rows as llama.cpp's converter does: halves of a head become neighbours."""
    rows = len(weight)
    halves = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def encode(matrix: np.ndarray, kind: str) -> np.ndarray:
    """Write a matrix [..., in] as the bytes of a kind."""
    packer = _PACKERS.get(kind)
    if packer is None:
        return quants.quantize(matrix.astype(np.float32), Kind[kind])
    blocks = matrix.reshape(-1, 256).astype(np.float64)
    return np.stack([packer(block) for block in blocks]).reshape(*matrix.shape[:-1], -1)


def decode(stored: np.ndarray, kind: str) -> np.ndarray:
    """Read bytes of a kind, by the package."""
    return quants.dequantize(stored, Kind[kind])


def write_gguf(source: Path, path: Path, kind: str = "F32", **metadata: Any) -> Path:
    """Write the model of a checkpoint's folder; `metadata` adds keys to its architecture's."""
    config = json.loads((source / "config.json").read_text())
    architecture = ARCHITECTURES[config["architectures"][0]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _write_metadata(writer, config)
    _write_tokenizer(writer, config["vocab_size"])
    for key, value in metadata.items():
        writer.add_key_value(
            f"{gguf.MODEL_ARCH_NAMES[architecture]}.{key.replace('__', '.')}",
            value,
            gguf.GGUFValueType.get_type(value),
        )
    for name, tensor in _tensors(source, config, architecture).items():
        stored_as = kind if tensor.ndim > 1 and _takes(tensor, kind) else "F32"
        writer.add_tensor(name, encode(tensor, stored_as), raw_dtype=Kind[stored_as])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stands_for(source: Path, target: Path, kind: str) -> Path:
    """Write the checkpoint in float32 whose matrices are those of the GGUF."""
    target.mkdir(parents=True)
    (target / "config.json").write_text((source / "config.json").read_text())
    meant = {
        name: decode(encode(tensor, kind), kind)
        if tensor.ndim > 1 and _takes(tensor, kind)
        else tensor.astype(np.float32)
        for name, tensor in checkpoint_tensors(source).items()
    }
    save_file(meant, target / "model.safetensors")
    return target


def checkpoint_tensors(source: Path) -> dict[str, np.ndarray]:
    """All of a folder's tensors."""
    found: dict[str, np.ndarray] = {}
    for path in source.glob("*.safetensors"):
        found |= load_file(path)
    return found


def write_wide_llama(folder: Path, *, intermediate_size: int = 256) -> Path:
    """Write a tiny checkpoint whose rows are whole blocks of every kind."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 64,
        "hidden_size": 256,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
    random = np.random.default_rng(3)
    shapes = {"model.embed_tokens": (64, 256), "model.norm": (256,), "lm_head": (64, 256)}
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.{n}_layernorm": (256,) for n in ("input", "post_attention")}
        shapes |= {f"{prefix}.self_attn.{n}_proj": (256, 256) for n in "qo"}
        shapes |= {f"{prefix}.self_attn.{n}_proj": (128, 256) for n in "kv"}
        shapes |= {f"{prefix}.mlp.{n}_proj": (intermediate_size, 256) for n in ("gate", "up")}
        shapes |= {f"{prefix}.mlp.down_proj": (256, intermediate_size)}
    tensors = {
        f"{name}.weight": (
            random.normal(scale=0.06, size=shape) if len(shape) > 1 else 1 + random.random(shape)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def _takes(tensor: np.ndarray, kind: str) -> bool:
    """Whether its rows are whole blocks."""
    return tensor.shape[-1] % gguf.GGML_QUANT_SIZES[Kind[kind]][0] == 0


def _tensors(
    source: Path, config: dict[str, Any], architecture: gguf.MODEL_ARCH
) -> dict[str, np.ndarray]:
    """All tensors by their names in the GGUF, in its order of rows, experts in one stack."""
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config.get("num_key_value_heads") or config["num_attention_heads"],
    }
    found: dict[str, np.ndarray] = {}
    experts: dict[str, dict[int, np.ndarray]] = {}
    for name, stored in checkpoint_tensors(source).items():
        module, suffix = name.rsplit(".", 1)
        is_permuted = architecture is gguf.MODEL_ARCH.LLAMA and module.endswith(tuple(heads))
        wide = stored.astype(np.float32)
        tensor = permuted(wide, heads[module.rsplit(".", 1)[-1]]) if is_permuted else wide
        if ".experts." in module:
            before, _, after = module.partition(".experts.")
            number, _, part = after.partition(".")
            experts.setdefault(f"{before}.experts.{part}", {})[int(number)] = tensor
        else:
            gguf_name = names.get_name(module)
            assert gguf_name is not None, module
            is_gate = module.endswith("shared_expert_gate")
            found[f"{gguf_name}.{suffix}"] = tensor[0] if is_gate else tensor
    for module, parts in experts.items():
        stack = np.stack([parts[number] for number in range(len(parts))])
        found[f"{names.get_name(module)}.weight"] = stack
    if scaling := config.get("rope_scaling"):
        found["rope_freqs.weight"] = _llama3_factors(config, scaling)
    return found


def _llama3_factors(config: dict[str, Any], scaling: dict[str, Any]) -> np.ndarray:
    """What llama.cpp's converter makes of Llama 3.1's rope, from its definition."""
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    original = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    factors = []
    for pair in range(head_dim // 2):
        wavelength = 2 * np.pi * config["rope_theta"] ** (2 * pair / head_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(scaling["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def _write_metadata(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    if head_dim := config.get("head_dim"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_rope_dimension_count(head_dim)
    if experts := config.get("num_experts") or config.get("num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if width := config.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(width)
    if width := config.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(width)


SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789.Ġ")
TOKENS = (*SPECIAL, *LETTERS, "ab", "12", "ĠĠ")
MERGES = ("a b", "1 2", "Ġ Ġ")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def _write_tokenizer(writer: gguf.GGUFWriter, vocab_size: int, *, pre: str = "smollm") -> None:
    tokens = [*TOKENS, *(f"<unused{i}>" for i in range(vocab_size - len(TOKENS)))]
    normal, unused = len(TOKENS) - len(SPECIAL), vocab_size - len(TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * normal + [5] * unused)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


# --- blocks of 256, from ggml's definition; plain, one group after another


def _f16(number: float) -> bytes:
    return np.float16(number).tobytes()


def _six_bits(scales: np.ndarray, least: np.ndarray) -> bytes:
    """Pack eight scales and eight least numbers of six bits into twelve bytes."""
    packed = [0] * 12
    for i in range(4):
        packed[i] = int(scales[i]) | (int(scales[i + 4]) >> 4) << 6
        packed[i + 4] = int(least[i]) | (int(least[i + 4]) >> 4) << 6
        packed[i + 8] = (int(scales[i + 4]) & 15) | (int(least[i + 4]) & 15) << 4
    return bytes(packed)


def _groups_of_32(block: np.ndarray, most: int) -> tuple[bytes, np.ndarray]:
    """Return d, dmin and the scales in bytes, and numbers 0 ... most."""
    groups = block.reshape(8, 32)
    least = np.minimum(groups.min(axis=1), 0)
    wide = (groups.max(axis=1) - least) / most
    d, dmin = np.float16(wide.max() / 63), np.float16(-least.min() / 63)
    scales = np.clip(np.rint(wide / max(float(d), 1e-8)), 0, 63).astype(int)
    lows = np.clip(np.rint(-least / max(float(dmin), 1e-8)), 0, 63).astype(int)
    steps = np.maximum(float(d) * scales, 1e-8)[:, None]
    numbers = np.rint((groups + (float(dmin) * lows)[:, None]) / steps)
    head = _f16(d) + _f16(dmin) + _six_bits(scales, lows)
    return head, np.clip(numbers, 0, most).astype(np.uint8)


def _low_halves(numbers: np.ndarray) -> bytes:
    """Put group 2j and group 2j + 1 into the nibbles of the same 32 bytes."""
    return b"".join((numbers[i] & 15 | (numbers[i + 1] & 15) << 4).tobytes() for i in (0, 2, 4, 6))


def _q4_k(block: np.ndarray) -> np.ndarray:
    head, numbers = _groups_of_32(block, 15)
    return np.frombuffer(head + _low_halves(numbers), np.uint8)


def _q5_k(block: np.ndarray) -> np.ndarray:
    head, numbers = _groups_of_32(block, 31)
    high = np.zeros(32, np.uint8)
    for group in range(8):
        high |= (numbers[group] >> 4) << group
    return np.frombuffer(head + high.tobytes() + _low_halves(numbers), np.uint8)


def _q6_k(block: np.ndarray) -> np.ndarray:
    groups = block.reshape(16, 16)
    wide = np.abs(groups).max(axis=1) / 31
    d = np.float16(wide.max() / 127)
    scales = np.clip(np.rint(wide / max(float(d), 1e-8)), 1, 127).astype(np.int8)
    steps = np.maximum(float(d) * scales.astype(float), 1e-8)[:, None]
    q = (np.clip(np.rint(groups / steps), -32, 31) + 32).astype(np.uint8).reshape(2, 4, 32)
    low, high = b"", b""
    for half in q:  # of 128 numbers: 64 bytes of low nibbles, 32 of two high bits
        low += (half[0] & 15 | (half[2] & 15) << 4).tobytes()
        low += (half[1] & 15 | (half[3] & 15) << 4).tobytes()
        high += sum((half[i] >> 4) << (2 * i) for i in range(4)).astype(np.uint8).tobytes()
    return np.frombuffer(low + high + scales.tobytes() + _f16(d), np.uint8)


_PACKERS = {"Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k}
