"""Llama 3.1 to 3.3: the answer is the call, in JSON.

    <|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}

The tag is seldom there. Several calls stand side by side, with `;` or `,` between them at most. An
object that names none of the request's tools is an answer in JSON, hence content.
"""

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

TAG = "<|python_tag|>"
SPELLING = Spelling(begin='{"name": "{name}", "parameters": ', end="}", between="; ")


def read(source: Source, toolbox: Toolbox) -> Reader[None]:
    """Read calls, or else content; what follows calls is content."""
    while True:
        source.begin()
        yield from source.skip_space()
        yield from source.starts_with(TAG)
        yield from source.skip_space()
        before = source.commit()
        if not (yield from json_calls.call(source, toolbox.names)):
            break
        yield from source.skip_space()
        yield from source.starts_with(";", ",")
    yield from source.content(before)
    yield from source.content_until()
