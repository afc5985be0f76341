"""Ids to text, one at a time: the texts of all steps together equal the text of all ids.

A character may be spread over several tokens, so a step may give nothing, and a later one the
whole character. What never became a character comes out at the end, as U+FFFD.
"""

from collections.abc import Collection
from functools import lru_cache

from tokenizers import Tokenizer as Backend
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """The text of one growing list of ids."""

    def __init__(
        self,
        backend: Backend,
        *,
        skip_special_tokens: bool,
        kept_tokens: Collection[str] = (),
    ) -> None:
        """Of special tokens, those of `kept_tokens` stay in the text in any case."""
        self._backend = backend
        self._dropped = _dropped_ids(backend, kept_tokens) if skip_special_tokens else frozenset()
        self._skip_special_tokens = skip_special_tokens and not kept_tokens
        self._stream = DecodeStream(skip_special_tokens=self._skip_special_tokens)
        self._pending: list[int] = []
        """Ids whose text is held back."""

    def step(self, token_id: int) -> str:
        """Add one id and return the text that is certain now."""
        if token_id in self._dropped:
            return ""
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


def _dropped_ids(backend: Backend, kept_tokens: Collection[str]) -> frozenset[int]:
    """Find the special tokens that add no text, where some are to stay."""
    if not kept_tokens:
        return frozenset()  # the library leaves all of them out by itself
    special = _special_ids(backend)
    return frozenset(token_id for token, token_id in special.items() if token not in kept_tokens)


@lru_cache(maxsize=4)
def _special_ids(backend: Backend) -> dict[str, int]:
    """Read the table once: some models have thousands of special tokens."""
    added = backend.get_added_tokens_decoder()
    return {token.content: token_id for token_id, token in added.items() if token.special}
