"""Kimi K2: special tokens all around, and an id that tells name and number.

    <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0
    <|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>

The id goes to the client as it is: the model wants to see it again.
"""

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

BEGIN, END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, CALL_END = "<|tool_call_begin|>", "<|tool_call_end|>"
ARGUMENTS = "<|tool_call_argument_begin|>"
TOKENS = (BEGIN, END, CALL, CALL_END, ARGUMENTS)
SPELLING = Spelling(
    opening=BEGIN,
    begin=f"{CALL}functions.{{name}}:",
    number="[0-9]{1,3}",
    head_end=ARGUMENTS,
    end=CALL_END,
    closing=END,
)


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while marker := (yield from source.content_until(BEGIN, CALL)):
        while marker in (BEGIN, CALL):
            if marker == CALL:
                yield from _call(source)
            marker = (yield from source.until(CALL, END))[1]


def _call(source: Source) -> Reader[None]:
    head, _ = yield from source.until(ARGUMENTS)
    call_id = head.strip()
    name = call_id.rpartition(":")[0] or call_id
    index = yield from source.call(name.removeprefix("functions."), call_id)
    yield from json_calls.arguments(source, index)
    yield from source.until(CALL_END)
