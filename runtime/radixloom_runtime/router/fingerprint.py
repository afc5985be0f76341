"""What a request's prompt begins with, as far as a router can tell without a tokenizer.

    head      what is said before any message: tools, system, the template's arguments
    text      messages as canonical JSON, or the prompt's UTF-8, or four bytes for each token id
    blocks    [ 256 bytes ][ 256 bytes ][ 256 bytes ] rest
                  h1  ───────►  h2  ───────►  h3        each hash covers all before it

Two prompts that have a block hash in common are equal up to that block's end, as far as a router
sees them. A turn of a conversation begins with the turns before it, so that its blocks do, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, cast

import msgspec

BLOCK_BYTES = 256
"""About 64 tokens of text, and just 64 token ids: the size of a KV page on TPU."""
MAX_BLOCKS = 4096
"""A megabyte. What comes behind it is computed by whoever has computed that much before."""
HASH_BYTES = 8

_HEAD = (
    *("tools", "functions", "system", "instructions", "documents", "model", "lora_path"),
    *("chat_template", "chat_template_kwargs", "reasoning_effort"),
)
_MESSAGES = ("messages", "input")
_PROMPTS = ("prompt", "text", "input_ids")
_MODELS = ("model", "lora_path")
_SESSIONS = ("prompt_cache_key", "user")

_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A prompt's chained block hashes, and the key by which its conversation has a home."""

    blocks: tuple[int, ...] = ()
    home: bytes = b""
    """The same for every turn of a conversation; empty where there is no prompt."""
    model: str = ""
    """The model, or the adapter of it, that is asked for; empty where none is named."""


_NONE = Fingerprint()


def fingerprint(body: bytes, session: str = "") -> Fingerprint:
    """Read a request's body; what is no JSON object has no prompt, and a leader will refuse it.

    `session` names the conversation, where the client says it in a header.
    """
    try:
        found = msgspec.json.decode(body)
        return _of(cast("dict[str, Any]", found), session) if isinstance(found, dict) else _NONE
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _NONE


def _of(request: Mapping[str, Any], session: str) -> Fingerprint:
    head = _encoder.encode({name: request[name] for name in _HEAD if name in request})
    pieces = _pieces(request)
    home = _session(request, session) or _opening(request, head, pieces)
    blocks = islice(_chained(head, b"".join(pieces)), MAX_BLOCKS)
    return Fingerprint(tuple(blocks), home, _model(request))


def _model(request: Mapping[str, Any]) -> str:
    names = (request.get(name) for name in _MODELS)
    return next((name for name in names if isinstance(name, str)), "")


def _pieces(request: Mapping[str, Any]) -> list[bytes]:
    """Cut the prompt into messages; a prompt without messages is one piece."""
    for name in _MESSAGES:
        messages = request.get(name)
        if isinstance(messages, list):
            return [_encoder.encode(message) + b"\n" for message in cast("list[Any]", messages)]
        if isinstance(messages, str):
            return [messages.encode(errors="replace")]
    for name in _PROMPTS:
        if (prompt := request.get(name)) is not None:
            return [_prompt_bytes(prompt)]
    return []


def _prompt_bytes(prompt: object) -> bytes:
    """Write a prompt as bytes; of several prompts, the first stands for all."""
    if isinstance(prompt, str):
        return prompt.encode(errors="replace")
    if not isinstance(prompt, list) or not prompt:
        return b""
    items = cast("list[Any]", prompt)
    if isinstance(items[0], str | list):
        return _prompt_bytes(items[0])
    return b"".join(
        item.to_bytes(4, "little") for item in items if isinstance(item, int) and 0 <= item < 2**32
    )


def _chained(head: bytes, text: bytes) -> Iterable[int]:
    digest = _digest(head)
    for start in range(0, len(text) - BLOCK_BYTES + 1, BLOCK_BYTES):
        digest = _digest(digest + text[start : start + BLOCK_BYTES])
        yield int.from_bytes(digest, "little")


def _session(request: Mapping[str, Any], session: str) -> bytes:
    """Name the conversation, if anybody does."""
    names = [session, *(request.get(name) for name in _SESSIONS)]
    name = next((name for name in names if isinstance(name, str) and name), "")
    return _digest(name.encode(errors="replace")) if name else b""


def _opening(request: Mapping[str, Any], head: bytes, pieces: list[bytes]) -> bytes:
    """Take what stays the same from turn to turn: up to the first question, or the first block."""
    if not pieces:
        return b""
    messages = next((request[name] for name in _MESSAGES if name in request), None)
    if not isinstance(messages, list):
        return _digest(head + pieces[0][:BLOCK_BYTES])
    length = 1 + next((i for i, each in enumerate(cast("list[Any]", messages)) if _asks(each)), 0)
    return _digest(head + b"".join(pieces[:length]))


def _asks(message: object) -> bool:
    return isinstance(message, dict) and cast("dict[str, Any]", message).get("role") == "user"


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=HASH_BYTES).digest()
