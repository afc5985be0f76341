"""Hermes, Qwen 2.5 and 3, and many others: an object of JSON between tags.

<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call>
"""

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

_BEGIN, _END = "<tool_call>", "</tool_call>"
TOKENS = (_BEGIN, _END)
SPELLING = Spelling(
    begin=f'{_BEGIN}\n{{"name": "{{name}}", "arguments": ', end=f"}}\n{_END}", between="\n"
)


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while (yield from source.content_until(_BEGIN)):
        source.begin()
        yield from source.skip_space()
        blanks = source.commit()
        if (yield from json_calls.call(source)):
            yield from source.skip_space()
            yield from source.starts_with(_END)
        else:
            yield from source.content(_BEGIN + blanks)
