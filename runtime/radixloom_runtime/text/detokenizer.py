"""Ids to text, one at a time: the texts of all steps together equal the text of all ids.

A character may be spread over several tokens, so a step may give nothing, and a later one the
whole character. What never became a character comes out at the end, as U+FFFD.
"""

from tokenizers import Tokenizer as Backend
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """The text of one growing list of ids."""

    def __init__(self, backend: Backend, *, skip_special_tokens: bool) -> None:
        self._backend = backend
        self._skip_special_tokens = skip_special_tokens
        self._stream = DecodeStream(skip_special_tokens=skip_special_tokens)
        self._pending: list[int] = []
        """Ids whose text is held back."""

    def step(self, token_id: int) -> str:
        """Add one id and return the text that is certain now."""
        text = self._stream.step(self._backend, token_id)
        if text is None:
            self._pending.append(token_id)
            return ""
        self._pending.clear()
        return text

    def finish(self) -> str:
        """Return what was still held back; nothing may follow."""
        text = self._backend.decode(self._pending, skip_special_tokens=self._skip_special_tokens)
        self._pending.clear()
        return text
