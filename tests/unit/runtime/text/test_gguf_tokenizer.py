"""The tokenizer that a GGUF's vocabulary makes.

The splittings were compared with what llama.cpp records for its own test texts, over the whole
vocabularies that lie beside them (llama-bpe, qwen2, gpt-2, llama-spm, phi-3: 47 texts each, all
equal); these are too large to be kept here.
"""

import pytest

from radixloom_runtime.errors import ModelError
from radixloom_runtime.text.gguf_tokenizer import SPLITTINGS, TokenKind, build_tokenizer, load

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789.Ġ")
TOKENS = (*SPECIAL, *LETTERS, "ab", "12", "ĠĠ", "<think>")
MERGES = ["a b", "1 2", "Ġ Ġ"]


def byte_level(**keys) -> dict:
    kinds = [TokenKind.CONTROL] * len(SPECIAL) + [TokenKind.NORMAL] * (len(TOKENS) - 4)
    metadata = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": list(TOKENS),
        "token_type": [int(kind) for kind in (*kinds, TokenKind.USER_DEFINED)],
        "merges": MERGES,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (metadata | keys).items()}


def pieces() -> dict:
    scored = {"<unk>": 0.0, "<s>": 0.0, "</s>": 0.0, "<0xC3>": 0.0, "<0xA9>": 0.0}
    scored |= {"▁": -9.0, "a": -8.0, "b": -8.0, "ab": -2.0, "ba": -1.0, "▁a": -3.0, "aba": -0.5}
    kinds = [2, 3, 3, 6, 6, *[1] * (len(scored) - 5)]
    metadata = {
        "model": "llama",
        "tokens": list(scored),
        "scores": list(scored.values()),
        "token_type": kinds,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}


def test_digits_are_split_although_a_merge_would_join_them():
    backend = build_tokenizer(byte_level())
    assert backend.encode("ab  12.").tokens == ["ab", "ĠĠ", "1", "2", "."]


def test_three_digits_at_most_are_together_in_llama_3_and_none_in_qwen():
    llama, qwen = (build_tokenizer(byte_level(pre=pre)) for pre in ("llama-bpe", "qwen2"))
    assert llama.encode("12", add_special_tokens=False).tokens == ["12"]
    assert qwen.encode("12").tokens == ["1", "2"]


@pytest.mark.parametrize("pre", SPLITTINGS)
def test_every_splitting_gives_the_text_back(pre):
    backend = build_tokenizer(byte_level(pre=pre))
    text = "ab  12.\n\n it's 3.14 ab"
    known = "".join(c for c in text if c in "abcdefghijklmnopqrstuvwxyz0123456789. ")
    assert backend.decode(backend.encode(known, add_special_tokens=False).ids) == known


def test_special_tokens_are_one_token_and_leave_no_text():
    backend = build_tokenizer(byte_level())
    ids = backend.encode("<|im_start|>ab<think><|im_end|>").ids
    assert ids == [1, TOKENS.index("ab"), TOKENS.index("<think>"), 2]
    assert backend.decode(ids) == "ab<think>"


def test_a_text_begins_as_the_file_says_or_as_its_kind_does():
    def begins(**keys) -> bool:
        return build_tokenizer(byte_level(**keys)).encode("ab").ids[0] == 1

    assert not begins()
    assert begins(add_bos_token=True)
    assert begins(pre="llama-bpe")
    assert not begins(pre="llama-bpe", add_bos_token=False)
    assert build_tokenizer(byte_level(add_eos_token=True)).encode("ab").ids[-1] == 2


def test_pairs_of_sentence_pieces_are_merged_by_score():
    """Of ▁ a b a b, "ba" has the best score, and then "aba"; "▁a" comes too late."""
    backend = build_tokenizer(pieces())
    assert backend.encode("abab", add_special_tokens=False).tokens == ["▁", "aba", "b"]
    assert backend.encode("ab").tokens[0] == "<s>"


def test_a_letter_that_is_no_piece_becomes_bytes_and_comes_back():
    backend = build_tokenizer(pieces())
    encoded = backend.encode("abé", add_special_tokens=False)
    assert encoded.tokens[-2:] == ["<0xC3>", "<0xA9>"]
    assert backend.decode(encoded.ids) == "abé"


def test_a_turn_may_end_otherwise_than_a_text():
    assert load(byte_level()).eos_ids == (2,)
    loaded = load(byte_level(eot_token_id=0))
    assert loaded.eos_ids == (0, 2)
    assert loaded.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pre": "tekken"}, "splits text by 'tekken'.*supported: gpt-2, llama-bpe"),
        ({"model": "bert"}, "tokenizer is 'bert'"),
    ],
)
def test_an_unknown_kind_of_tokenizer_is_refused(keys, message):
    with pytest.raises(ModelError, match=message):
        build_tokenizer(byte_level(**keys))
