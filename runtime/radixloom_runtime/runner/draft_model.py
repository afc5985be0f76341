"""Whether a checkpoint can guess for another: both must mean the same text by the same ids."""

import json
from pathlib import Path
from typing import Any

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.registry import read_config

_TOKENIZER = "tokenizer.json"


def read_draft_config(folder: Path, target_folder: Path, target: ModelConfig) -> ModelConfig:
    """Read what a draft model is, before anything of it is loaded.

    Raises: `ConfigurationError` if it cannot guess for the target, `ModelError`.
    """
    draft = read_config(folder)
    if draft.linear is not None:
        raise ConfigurationError(
            f"--draft-model {folder} keeps a recurrent state, from which no wrong guess can be"
            " taken back; take a model whose layers all have attention"
        )
    tokens, wanted = _tokens(folder), _tokens(target_folder)
    if tokens is None or wanted is None:
        if draft.vocab_size != target.vocab_size:
            raise ConfigurationError(
                f"--draft-model {folder} has a vocabulary of {draft.vocab_size} tokens, the model"
                f" {target.vocab_size}, and without {_TOKENIZER} in both folders nothing tells"
                " whether that is padding; take a draft model of the same family"
            )
    elif tokens != wanted:
        raise ConfigurationError(_difference(folder, tokens, wanted))
    return draft


def _tokens(folder: Path) -> dict[str, int] | None:
    """Return the id of each token; None where no tokenizer tells."""
    path = folder / _TOKENIZER
    if not path.is_file():
        return None
    raw: Any = json.loads(path.read_text("utf-8"))
    vocabulary: Any = raw["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pieces with scores, in the order of their ids
        vocabulary = {piece: index for index, (piece, _) in enumerate(vocabulary)}
    return vocabulary | {token["content"]: token["id"] for token in raw.get("added_tokens") or ()}


def _difference(folder: Path, tokens: dict[str, int], wanted: dict[str, int]) -> str:
    differing = [token for token in wanted if tokens.get(token) != wanted[token]]
    differing += [token for token in tokens if token not in wanted]
    token = differing[0]
    return (
        f"--draft-model {folder} has other tokens than the model: {len(differing)} of"
        f" {len(wanted)} differ, such as {token!r}, id {wanted.get(token, 'none')} in the model and"
        f" {tokens.get(token, 'none')} in the draft model; take a draft model of the same family"
    )
