"""GGUF → checkpoint, by example, by property, and on a whole tiny GGUF."""

import json
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from tokenizers import Tokenizer

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint
from radixloom_runtime.fetch.gguf_checkpoint import (
    checkpoint_name,
    convert,
    to_bfloat16_bits,
    undo_permutation,
)

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, FEED_FORWARD = 4, 2, 8, 32, 48
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789.Ġ")
TOKENS = (*SPECIAL, *LETTERS, "ab", "12", "ĠĠ")
MERGES = ("a b", "1 2", "Ġ Ġ")


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder rows as a converter to GGUF does: halves of a head become neighbours."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def tiny_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {
        "model.embed_tokens": (len(TOKENS), HIDDEN),
        "model.norm": (HIDDEN,),
        "model.layers.0.input_layernorm": (HIDDEN,),
        "model.layers.0.post_attention_layernorm": (HIDDEN,),
        "model.layers.0.self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
        "model.layers.0.self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "model.layers.0.self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "model.layers.0.self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
        "model.layers.0.mlp.gate_proj": (FEED_FORWARD, HIDDEN),
        "model.layers.0.mlp.up_proj": (FEED_FORWARD, HIDDEN),
        "model.layers.0.mlp.down_proj": (HIDDEN, FEED_FORWARD),
    }
    return {
        f"{name}.weight": random.standard_normal(shape, dtype=np.float32)
        for name, shape in shapes.items()
    }


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
    "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
    "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
    "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
    "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
    "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
}


def write_gguf(path: Path, weights: dict[str, np.ndarray], *, pre: str = "smollm") -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    for name, weight in weights.items():
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
        stored = permuted(weight, heads) if heads else weight
        writer.add_tensor(GGUF_NAMES[name.removesuffix(".weight")] + ".weight", stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(write_gguf(folder / "tiny.gguf", tiny_weights()), folder)
    return folder


def test_every_weight_is_back_in_its_place_rounded_to_bfloat16(converted: Path):
    expected = tiny_weights()
    with safe_open(converted / "model.safetensors", "np") as file:
        assert set(file.keys()) == set(expected)
        for name, weight in expected.items():
            stored = file.get_tensor(name)
            assert stored.dtype == ml_dtypes.bfloat16
            np.testing.assert_array_equal(stored, weight.astype(ml_dtypes.bfloat16))


def test_the_configuration_says_what_the_gguf_says(converted: Path):
    config = json.loads((converted / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (HEADS, KV_HEADS)
    assert (config["hidden_size"], config["intermediate_size"]) == (HIDDEN, FEED_FORWARD)
    assert (config["head_dim"], config["num_hidden_layers"]) == (HEAD_DIM, 1)
    assert (config["rms_norm_eps"], config["rope_theta"]) == (1e-05, 100000.0)
    assert config["tie_word_embeddings"] is True
    assert config["vocab_size"] == len(TOKENS)


def test_the_folder_is_a_whole_checkpoint(converted: Path):
    checkpoint.verify(converted)


def test_digits_are_split_although_a_merge_would_join_them(converted: Path):
    tokenizer = Tokenizer.from_file(str(converted / "tokenizer.json"))
    assert tokenizer.encode("ab  12.").tokens == ["ab", "ĠĠ", "1", "2", "."]


def test_special_tokens_are_one_token_and_leave_no_text(converted: Path):
    tokenizer = Tokenizer.from_file(str(converted / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|>ab<|im_end|>").ids == [1, TOKENS.index("ab"), 2]
    assert tokenizer.decode([1, TOKENS.index("ab"), 2]) == "ab"


def test_an_unknown_pre_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(FetchError, match="'qwen2'"):
        convert(write_gguf(tmp_path / "tiny.gguf", tiny_weights(), pre="qwen2"), tmp_path)


def test_a_tensor_that_would_be_lost_is_refused():
    with pytest.raises(FetchError, match=r"blk\.0\.ffn_gate_exps"):
        checkpoint_name("blk.0.ffn_gate_exps.weight")


@given(heads=st.integers(1, 5), half=st.integers(1, 8), columns=st.integers(1, 4))
def test_undoing_the_permutation_gives_the_rows_back(heads: int, half: int, columns: int):
    weight = np.arange(heads * half * 2 * columns).reshape(-1, columns)
    np.testing.assert_array_equal(undo_permutation(permuted(weight, heads), heads), weight)


@given(arrays.arrays(np.float32, 16, elements=st.floats(width=32, allow_nan=False)))
def test_rounding_to_bfloat16_is_the_reference_rounding(values: np.ndarray):
    expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(to_bfloat16_bits(values), expected)
