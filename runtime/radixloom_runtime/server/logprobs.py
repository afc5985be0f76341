"""Logprobs in the two shapes that OpenAI has for them."""

from collections.abc import Iterable, Sequence

from radixloom_runtime.server.replies import (
    ChatLogprob,
    ChatLogprobs,
    CompletionLogprobs,
    TopLogprob,
)
from radixloom_runtime.text.token_bytes import TokenBytes
from radixloom_runtime.wire.messages import TokenLogprobs


def for_chat(logprobs: Iterable[TokenLogprobs], tokens: TokenBytes) -> ChatLogprobs:
    """One entry per token, each with its alternatives."""
    return ChatLogprobs([_chat_entry(entry, tokens) for entry in logprobs])


def for_prompt(
    logprobs: Iterable[TokenLogprobs | None], tokens: TokenBytes
) -> list[ChatLogprob | None]:
    """One entry per token of a chat's prompt; the first has none."""
    return [None if entry is None else _chat_entry(entry, tokens) for entry in logprobs]


def for_completion(
    token_ids: Sequence[int],
    logprobs: Sequence[TokenLogprobs | None],
    text_offsets: Sequence[int],
    tokens: TokenBytes,
) -> CompletionLogprobs:
    """Four lists side by side; a prompt's first token has no logprob."""
    return CompletionLogprobs(
        tokens=[token_name(token_id, tokens) for token_id in token_ids],
        token_logprobs=[None if entry is None else entry.logprob for entry in logprobs],
        top_logprobs=[None if entry is None else _top_by_name(entry, tokens) for entry in logprobs],
        text_offset=list(text_offsets),
    )


def token_name(token_id: int, tokens: TokenBytes) -> str:
    r"""Return the token's text, or `bytes:\xe2\x82` where that is only a piece of a character.

    Completions have no list of bytes beside a token, and pieces must not all look alike.
    """
    raw = tokens.bytes_of(token_id)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def _chat_entry(entry: TokenLogprobs, tokens: TokenBytes) -> ChatLogprob:
    return ChatLogprob(
        token=tokens.text_of(entry.token_id),
        logprob=entry.logprob,
        bytes=list(tokens.bytes_of(entry.token_id)),
        top_logprobs=[
            TopLogprob(tokens.text_of(token_id), logprob, list(tokens.bytes_of(token_id)))
            for token_id, logprob in zip(entry.top_ids, entry.top_logprobs, strict=True)
        ],
    )


def _top_by_name(entry: TokenLogprobs, tokens: TokenBytes) -> dict[str, float]:
    """Name the alternatives; the chosen token is added if it is not among them, as OpenAI does."""
    top = {
        token_name(token_id, tokens): logprob
        for token_id, logprob in zip(entry.top_ids, entry.top_logprobs, strict=True)
    }
    top.setdefault(token_name(entry.token_id, tokens), entry.logprob)
    return top
