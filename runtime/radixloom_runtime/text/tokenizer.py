"""Text to token ids and back, for one checkpoint.

Reads `tokenizer.json` with the `tokenizers` library alone: 0.2 s, where importing transformers'
tokenizer takes 3 s of a start that a user waits for. A checkpoint without that file (an old
sentencepiece one) is converted by transformers, which is imported then.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from radixloom_runtime.errors import ModelError
from radixloom_runtime.text.token_bytes import TokenBytes


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The vocabulary of one checkpoint and the ids that end an answer."""

    backend: Backend
    eos_ids: tuple[int, ...]
    """Any of these ends an answer."""
    special_tokens: dict[str, str] = field(default_factory=dict[str, str])
    """`bos_token`, `eos_token`, ... as chat templates name them."""

    def encode(
        self, text: str, *, add_special_tokens: bool, at_most: int | None = None
    ) -> list[int]:
        """Split `text` into ids.

        A chat template writes its own special tokens; a bare prompt gets those that the
        checkpoint wants, such as a beginning-of-sequence token. Of a text of more than `at_most`
        ids the first are kept, the special ones beside them.
        """
        if at_most is None:
            return self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        encoding = self.backend.encode(text, add_special_tokens=False)
        num_special = (
            self.backend.num_special_tokens_to_add(is_pair=False) if add_special_tokens else 0
        )
        encoding.truncate(max(0, at_most - num_special))
        whole = self.backend.post_process(encoding, add_special_tokens=add_special_tokens)
        return whole.ids[:at_most]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Join ids to text; bytes that are no UTF-8 become U+FFFD."""
        return self.backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    def token_bytes(self) -> TokenBytes:
        """Return the table of what single tokens stand for."""
        return TokenBytes(self.backend)

    @property
    def marks(self) -> dict[str, int]:
        """Ids of the tokens that are no text to llguidance: special ones, and tags of any kind."""
        added = self.backend.get_added_tokens_decoder()
        return {
            token.content: token_id
            for token_id, token in added.items()
            if token.special or (token.content.startswith("<") and token.content.endswith(">"))
        }

    @property
    def vocab_size(self) -> int:
        """How many ids have a token."""
        return self.backend.get_vocab_size(with_added_tokens=True)


def load(folder: Path) -> Tokenizer:
    """Read the tokenizer of the checkpoint in `folder`.

    Raises: `ModelError` when there is none, or it cannot be read.
    """
    config = read_json(folder / "tokenizer_config.json")
    backend = _backend(folder)
    # Kept from training in some files, of embedding models most of all: texts would be cut, or
    # filled up, and nobody told.
    backend.no_truncation()
    backend.no_padding()
    special_tokens = _special_tokens(config)
    return Tokenizer(backend, _eos_ids(folder, backend, special_tokens), special_tokens)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one. Raises: `ModelError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path} is no JSON: {error}; fetch the model again") from error


def _backend(folder: Path) -> Backend:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return _converted_backend(folder)
    try:
        return Backend.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{path} cannot be read: {error}; fetch the model again") from error


def _converted_backend(folder: Path) -> Backend:
    for found in sorted(folder.glob("*.tiktoken")):  # Qwen 1: read by Python code in its folder
        raise ModelError(
            f"wanted a tokenizer.json in {folder}, found {found.name}, which only code of the"
            " checkpoint's own reads, and that is not run; convert it once (TikTokenConverter of"
            " transformers does, given the pattern and special tokens of that code)"
        )
    from transformers import AutoTokenizer

    try:
        converted: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the conversion of an unknown file meets
        raise ModelError(
            f"wanted a tokenizer.json in {folder}, found none, and what is there cannot be"
            f" converted: {error}"
        ) from error
    return converted.backend_tokenizer


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """Pick the named special tokens: each is a string, or an object with `content`."""
    named = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in config.items()
        if name.endswith("_token")
    }
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _eos_ids(folder: Path, backend: Backend, special_tokens: dict[str, str]) -> tuple[int, ...]:
    """Join what generation_config.json (or else config.json) and the tokenizer call the end.

    Chat models often end a turn with another token than a document; both end an answer.
    """
    generation = read_json(folder / "generation_config.json").get("eos_token_id")
    declared = (
        generation
        if generation is not None
        else read_json(folder / "config.json").get("eos_token_id")
    )
    ids = set(_as_ids(declared))
    if (token := special_tokens.get("eos_token")) is not None:
        ids.update(_as_ids(backend.token_to_id(token)))
    return tuple(sorted(ids))


def _as_ids(value: object) -> Iterable[int]:
    if isinstance(value, int):
        return (value,)
    return (item for item in value if isinstance(item, int)) if isinstance(value, list) else ()
