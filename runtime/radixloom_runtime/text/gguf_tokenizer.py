"""The text side of a GGUF: the tokenizer that its vocabulary makes, and its chat template.

    tokenizer.ggml.model   gpt2: byte-level pairs merged in a given order, after a split by `pre`
                           llama: SentencePiece's pairs, merged by the score of what they become

A GGUF names its way of splitting text (`tokenizer.ggml.pre`) instead of describing it; the table
here says what each name means. Leaving one out is not harmless: without the digit rule, SmolLM
would read `3.14` in tokens that it never saw in training.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers import Tokenizer as Backend

from radixloom_runtime.errors import ModelError
from radixloom_runtime.text.tokenizer import Tokenizer

Metadata = dict[str, Any]

_SPACE = "▁"
"""How SentencePiece writes a blank."""


class TokenKind(IntEnum):
    """What `tokenizer.ggml.token_type` says of each token."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Splitting:
    """How text is taken apart before pairs are merged."""

    rule: Callable[[], pre_tokenizers.PreTokenizer]
    ignores_merges: bool = False
    """A piece that is a token stays one, whatever the merges say."""
    begins_texts: bool = False
    """A text gets a token of beginning where the file does not say."""
    composes: bool = False
    """Letters and their accents become one character first (NFC)."""


def _by(pattern: str) -> Callable[[], pre_tokenizers.PreTokenizer]:
    """Split by a pattern, and write each piece's bytes."""
    return lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _smollm() -> pre_tokenizers.PreTokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, _gpt2()])


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = Splitting(_by(_WORDS % "{1,3}"), ignores_merges=True, begins_texts=True)
_QWEN2 = Splitting(_by(_WORDS % ""), composes=True)

SPLITTINGS = {
    "gpt-2": Splitting(_gpt2),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "qwen2": _QWEN2,
    "smollm": Splitting(_smollm),
}


def load(metadata: Metadata) -> Tokenizer:
    """Make the tokenizer, with the ids that end an answer.

    Raises: `ModelError` for a kind of tokenizer that is not supported.
    """
    roles = ("eos", "eot")
    ends = (metadata.get(f"tokenizer.ggml.{role}_token_id") for role in roles)
    eos_ids = sorted({token_id for token_id in ends if token_id is not None})
    return Tokenizer(build_tokenizer(metadata), tuple(eos_ids), special_tokens(metadata))


def special_tokens(metadata: Metadata) -> dict[str, str]:
    """Name the special tokens as chat templates do: `bos_token`, `eos_token`, ..."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    return {
        f"{short}_token": tokens[token_id]
        for role, short in roles.items()
        if (token_id := metadata.get(f"tokenizer.ggml.{role}_token_id")) is not None
    }


def build_tokenizer(metadata: Metadata) -> Backend:
    """Make the tokenizer itself.

    Raises: `ModelError` for a kind of tokenizer that is not supported.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model == "gpt2":
        backend, begins = _byte_level(metadata)
    elif model == "llama":
        backend, begins = _sentence_pieces(metadata), True
    else:
        raise ModelError(
            f"the GGUF's tokenizer is {model!r}, which is not supported; supported: gpt2, llama"
        )
    backend.add_special_tokens(_added(metadata, TokenKind.CONTROL, special=True))
    backend.add_tokens(_added(metadata, TokenKind.USER_DEFINED, special=False))
    _set_ends(backend, metadata, begins=begins)
    return backend


def _byte_level(metadata: Metadata) -> tuple[Backend, bool]:
    """Make GPT-2's kind; returns whether texts begin with a token of their own."""
    pre = metadata.get("tokenizer.ggml.pre")
    splitting = SPLITTINGS.get(str(pre))
    if splitting is None:
        raise ModelError(
            f"the GGUF's tokenizer splits text by {pre!r}, which is not supported; supported:"
            f" {', '.join(sorted(SPLITTINGS))}. Serve the model's safetensors instead"
        )
    merges = [_pair(merge) for merge in metadata["tokenizer.ggml.merges"]]
    model = models.BPE(
        vocab=_vocabulary(metadata), merges=merges, ignore_merges=splitting.ignores_merges
    )
    backend = Backend(model)
    if splitting.composes:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = splitting.rule()
    backend.decoder = decoders.ByteLevel()
    return backend, splitting.begins_texts


def _sentence_pieces(metadata: Metadata) -> Backend:
    """Make SentencePiece's kind: the blank is a letter, and unknown characters become bytes."""
    vocabulary = _vocabulary(metadata)
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", 0)
    model = models.BPE(
        vocab=vocabulary,
        merges=_merges_by_score(metadata, vocabulary),
        unk_token=metadata["tokenizer.ggml.tokens"][unknown],
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = Backend(model)
    has_prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    blanks = normalizers.Replace(" ", _SPACE)
    prefixed: list[normalizers.Normalizer] = [normalizers.Prepend(_SPACE)] if has_prefix else []
    backend.normalizer = normalizers.Sequence([*prefixed, blanks])
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(
        [*steps, *([decoders.Strip(" ", 1, 0)] if has_prefix else [])]
    )
    return backend


def _merges_by_score(metadata: Metadata, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """List all pairs of tokens that are a token, the one of the highest score first."""
    scores: list[float] = metadata["tokenizer.ggml.scores"]
    pairs = [
        (-scores[token_id], token_id, token[:cut], token[cut:])
        for token, token_id in vocabulary.items()
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return [(left, right) for _, _, left, right in sorted(pairs)]


def _vocabulary(metadata: Metadata) -> dict[str, int]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    return {token: token_id for token_id, token in enumerate(tokens)}


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _added(metadata: Metadata, kind: TokenKind, *, special: bool) -> list[AddedToken]:
    """List the tokens of a kind that is found in a text before it is split."""
    tokens: Sequence[str] = metadata["tokenizer.ggml.tokens"]
    kinds: Iterable[int] = metadata["tokenizer.ggml.token_type"]
    return [
        AddedToken(token, special=special, normalized=False)
        for token, found in zip(tokens, kinds, strict=True)
        if found == kind
    ]


def _set_ends(backend: Backend, metadata: Metadata, *, begins: bool) -> None:
    """Put tokens around a text where the model wants them; a chat template writes its own."""
    special = special_tokens(metadata)
    around = {
        "bos_token": metadata.get("tokenizer.ggml.add_bos_token", begins),
        "eos_token": metadata.get("tokenizer.ggml.add_eos_token", False),
    }
    first, last = (special.get(role) if wanted else None for role, wanted in around.items())
    if first is None and last is None:
        return
    parts = [part for part in (first, "$A", last) if part is not None]
    used = [(part, backend.token_to_id(part)) for part in parts if part != "$A"]
    backend.post_processor = processors.TemplateProcessing(
        single=parts, pair=None, special_tokens=used
    )
