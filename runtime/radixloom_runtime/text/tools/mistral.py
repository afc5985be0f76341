"""Mistral: a list of JSON after a tag, or since 2025 a tag for each call.

[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}]
[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]get_time{"zone": "CET"}
"""

import secrets
import string

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

BEGIN, CALL_ID, ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
TOKENS = (BEGIN, CALL_ID, ARGUMENTS)
SPELLINGS = (
    Spelling(begin=f"{BEGIN}{{name}}{ARGUMENTS}", end="", sign=ARGUMENTS),
    Spelling(
        opening=f"{BEGIN} [",
        begin='{"name": "{name}", "arguments": ',
        end="}",
        between=", ",
        closing="]",
    ),
)

_ID_CHARACTERS = string.ascii_letters + string.digits


def make_id() -> str:
    """Make an id as Mistral's templates want them: nine letters or digits."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(9))


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while (yield from source.content_until(BEGIN)):
        yield from source.skip_space()
        if (yield from source.starts_with("[")):
            yield from _list(source)
        else:
            yield from _named(source)


def _list(source: Source) -> Reader[None]:
    while True:
        yield from source.skip_space()
        if not (yield from json_calls.call(source)):
            break
        yield from source.skip_space()
        if not (yield from source.starts_with(",")):
            break
    yield from source.starts_with("]")


def _named(source: Source) -> Reader[None]:
    name, marker = yield from source.until(ARGUMENTS, CALL_ID, "{")
    call_id = None
    if marker == CALL_ID:
        call_id, marker = yield from source.until(ARGUMENTS, "{")
    if marker == "{":
        source.unread(marker)
    index = yield from source.call(name.strip(), call_id)
    yield from json_calls.arguments(source, index)
