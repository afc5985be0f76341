"""Parameters that OpenAI defines and this server does not carry out.

Refused by name, except with a value that asks for nothing: `functions: []`, `store: false`. And the
few that cannot change an answer are accepted with any value, because clients send them always.
"""

from collections.abc import Mapping
from typing import Any

from radixloom_runtime.errors import RequestError

WITHOUT_EFFECT = frozenset({"metadata", "safety_identifier", "prompt_cache_key"})
"""Labels of stored answers, abuse tracking, and a routing hint: they never change an answer."""

_NULL: tuple[Any, ...] = (None,)

CHAT: Mapping[str, tuple[Any, ...]] = {
    "audio": _NULL,
    "function_call": (None, "none"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
    "moderation": _NULL,
    "prediction": _NULL,
    "prompt_cache_options": _NULL,
    "prompt_cache_retention": _NULL,
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "verbosity": _NULL,
    "web_search_options": _NULL,
}
"""Parameter → values that ask for nothing."""

COMPLETIONS: Mapping[str, tuple[Any, ...]] = {"suffix": (None, "")}

NATIVE: Mapping[str, tuple[Any, ...]] = {
    "audio_data": _NULL,
    "image_data": _NULL,
    "return_hidden_states": (None, False),
}
"""Of `/generate`: what SGL-JAX's clients send with nothing in it."""

MESSAGE: Mapping[str, tuple[Any, ...]] = {
    "annotations": (None, []),
    "audio": _NULL,
    "function_call": _NULL,
    "refusal": _NULL,
}
"""What an answer's message carries empty, so that it can be sent back as history."""

STREAM_OPTIONS: Mapping[str, tuple[Any, ...]] = {"include_obfuscation": (None, False)}


def without_unsupported(
    body: Mapping[str, Any], table: Mapping[str, tuple[Any, ...]], *, at: str = ""
) -> dict[str, Any]:
    """Drop what asks for nothing; `at` begins the parameter's name in a message.

    Raises: `RequestError` naming the first parameter that asks for something.
    """
    kept = {name: value for name, value in body.items() if name not in table}
    for name in body.keys() & table.keys():
        if body[name] not in table[name]:
            raise RequestError(
                f"{at}{name} is not supported by this server",
                param=at + name,
                code="unsupported_parameter",
            )
    return kept
