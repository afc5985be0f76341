"""Formats of tool calls by name, and the one that a chat template speaks of.

A template shows the model how earlier calls looked, so the markers that it writes are those that
the model writes.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import (
    deepseek_v3,
    glm,
    glm4_0414,
    harmony,
    hermes,
    kimi,
    llama3,
    mistral,
    pythonic,
    qwen3_coder,
)
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox


def make_id() -> str:
    """Make an id as OpenAI does."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How calls are read."""

    read: Callable[[Source, Toolbox], Reader[None]]
    tokens: tuple[str, ...] = ()
    """Special tokens that have to stay in the text."""
    make_id: Callable[[], str] = make_id
    spellings: tuple[Spelling, ...] = ()
    """How a model is held to calls; the first whose sign the template has."""


TOOL_FORMATS: Mapping[str, ToolFormat] = {
    "deepseek-v3": ToolFormat(
        deepseek_v3.read, deepseek_v3.TOKENS, spellings=deepseek_v3.SPELLINGS
    ),
    "glm": ToolFormat(glm.read, glm.TOKENS, spellings=glm.SPELLINGS),
    "glm4-0414": ToolFormat(glm4_0414.read, (glm4_0414.TURN,), spellings=(glm4_0414.SPELLING,)),
    "gpt-oss": ToolFormat(harmony.read, harmony.TOKENS, spellings=(harmony.SPELLING,)),
    "hermes": ToolFormat(hermes.read, hermes.TOKENS, spellings=(hermes.SPELLING,)),
    "kimi": ToolFormat(kimi.read, kimi.TOKENS, spellings=(kimi.SPELLING,)),
    "llama3": ToolFormat(llama3.read, (llama3.TAG,), spellings=(llama3.SPELLING,)),
    "mistral": ToolFormat(
        mistral.read, mistral.TOKENS, mistral.make_id, spellings=mistral.SPELLINGS
    ),
    "pythonic": ToolFormat(
        pythonic.read, (pythonic.BEGIN, pythonic.END), spellings=(pythonic.SPELLING,)
    ),
    "qwen3-coder": ToolFormat(
        qwen3_coder.read, qwen3_coder.TOKENS, spellings=(qwen3_coder.SPELLING,)
    ),
}

_SIGNS: tuple[tuple[str, str], ...] = (
    ("<|channel|>", "gpt-oss"),
    ("<|tool_calls_section_begin|>", "kimi"),
    (deepseek_v3.BEGIN, "deepseek-v3"),
    ("[TOOL_CALLS]", "mistral"),
    ("<arg_key>", "glm"),
    ("<function=", "qwen3-coder"),
    ("<tool_call>", "hermes"),
    ("<|python_start|>", "pythonic"),
    ("<|python_tag|>", "llama3"),
    ("<|observation|>", "glm4-0414"),
)
"""What a template writes → format; of several that it writes, the first here."""


def tool_format_of(template: str) -> str | None:
    """Name the format that a chat template speaks of; None when it knows no tools."""
    if "tools" not in template:
        return None
    return next((name for sign, name in _SIGNS if sign in template), None)
