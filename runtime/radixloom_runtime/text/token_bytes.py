"""What one token stands for, in bytes, without its neighbours.

Half a character has no text of its own, so the logprobs of the API give the bytes of each token
beside its text.

    byte-level BPE (GPT-2, Llama 3, Qwen)   each character of a token is one byte: "Ġ" is 0x20
    sentencepiece (Llama 2, Gemma)          "▁" is a space, "<0xE2>" one byte, the rest itself
"""

import re
from functools import cache

from tokenizers import Tokenizer as Backend

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TokenBytes:
    """Bytes and text of single tokens; ids without a token stand for nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._added = {
            token_id: added.content
            for token_id, added in backend.get_added_tokens_decoder().items()
        }
        self._is_byte_level = "ByteLevel" in repr(backend.decoder)
        self._known: dict[int, tuple[bytes, str]] = {}

    def bytes_of(self, token_id: int) -> bytes:
        """Return the bytes that the token adds to a text."""
        return self._entry(token_id)[0]

    def text_of(self, token_id: int) -> str:
        """Return the token as text; what is no UTF-8 alone becomes U+FFFD."""
        return self._entry(token_id)[1]

    def _entry(self, token_id: int) -> tuple[bytes, str]:
        entry = self._known.get(token_id)
        if entry is None:
            raw = self._raw(token_id)
            entry = self._known[token_id] = (raw, raw.decode("utf-8", "replace"))
        return entry

    def _raw(self, token_id: int) -> bytes:
        if (content := self._added.get(token_id)) is not None:
            return content.encode()
        token = self._backend.id_to_token(token_id)
        if token is None:  # padding rows of the vocabulary
            return b""
        return _from_byte_level(token) if self._is_byte_level else _from_sentencepiece(token)


def _from_byte_level(token: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode()


def _from_sentencepiece(token: str) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(token):
        return bytes([int(match[1], 16)])
    return token.replace("▁", " ").encode()


@cache
def _byte_of_character() -> dict[str, int]:
    """The alphabet of byte-level BPE: printable Latin-1 is itself, other bytes follow from U+0100.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", the
    released encoder.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(0x100 + index): byte for index, byte in enumerate(others)})
    return table
