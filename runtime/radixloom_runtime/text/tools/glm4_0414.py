"""GLM-4 of 2024 and of April 2025: a tool's name on a line of its own, then JSON.

    get_weather
    {"city": "Paris"}

Only names of the request's tools begin a call; a further one follows after `<|assistant|>`.
"""

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

TURN = "<|assistant|>"
SPELLING = Spelling(begin="{name}\n", end="", between=f"{TURN}")


def read(source: Source, toolbox: Toolbox) -> Reader[None]:
    """Read calls, or else content; what follows calls is content."""
    heads = {f"{name}\n{{": name for name in toolbox.names}
    while True:
        source.begin()
        yield from source.skip_space()
        yield from source.starts_with(TURN)
        yield from source.skip_space()
        before = source.commit()
        if not (head := (yield from source.starts_with(*heads))):
            break
        source.unread("{")
        index = yield from source.call(heads[head])
        yield from json_calls.arguments(source, index)
    yield from source.content(before)
    yield from source.content_until()
