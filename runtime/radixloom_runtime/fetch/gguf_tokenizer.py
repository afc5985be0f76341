"""Rebuild a Hugging Face tokenizer from the vocabulary and merges that a GGUF carries.

A GGUF names its pre-tokenizer (`tokenizer.ggml.pre`) instead of describing it; the table here says
what each name means. Leaving one out is not harmless: without the digit rule, SmolLM would read
`3.14` in tokens that it never saw in training.
"""

import json
from enum import IntEnum
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from radixloom_runtime.errors import FetchError

Metadata = dict[str, Any]


class TokenKind(IntEnum):
    """What `tokenizer.ggml.token_type` says of each token."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def _smollm() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


PRE_TOKENIZERS = {"smollm": _smollm}


def write_tokenizer(metadata: Metadata, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Raises: `FetchError` for a kind of tokenizer that is not supported.
    """
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    special = _special_tokens(metadata)
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(metadata, special))


def build_tokenizer(metadata: Metadata) -> Tokenizer:
    """Make the tokenizer itself.

    Raises: `FetchError` for a kind of tokenizer that is not supported.
    """
    model, pre = metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"]
    if model != "gpt2" or pre not in PRE_TOKENIZERS:
        raise FetchError(
            f"the GGUF's tokenizer is {model!r} with pre-tokenizer {pre!r}; supported: 'gpt2' with"
            f" one of {sorted(PRE_TOKENIZERS)}"
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    merges = [_pair(merge) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
            if kind == TokenKind.CONTROL
        ]
    )
    return tokenizer


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _special_tokens(metadata: Metadata) -> dict[str, str]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    return {
        f"{short}_token": tokens[token_id]
        for role, short in roles.items()
        if (token_id := metadata.get(f"tokenizer.ggml.{role}_token_id")) is not None
    }


def _tokenizer_config(metadata: Metadata, special: dict[str, str]) -> dict[str, Any]:
    return {
        **special,
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
        "add_prefix_space": bool(metadata.get("tokenizer.ggml.add_space_prefix", False)),
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        # The class that takes tokenizer.json as it is: named ones build their own pre-tokenizer.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
