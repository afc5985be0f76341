"""DeepSeek V3, R1, and V3.1, which left out the kind and the fence.

    <|tool▁calls▁begin|><|tool▁call▁begin|>function<|tool▁sep|>get_weather
    ```json
    {"city": "Paris"}
    ```<|tool▁call▁end|><|tool▁calls▁end|>

    <|tool▁calls▁begin|><|tool▁call▁begin|>get_weather<|tool▁sep|>{"city": "Paris"}
    <|tool▁call▁end|><|tool▁calls▁end|>

(The bars are full-width in the tokens.)
"""

from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools import json_calls
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

_BAR, _BLANK = "\uff5c", "\u2581"


def _token(*words: str) -> str:
    return f"<{_BAR}{_BLANK.join(words)}{_BAR}>"


BEGIN, END = _token("tool", "calls", "begin"), _token("tool", "calls", "end")
CALL, CALL_END = _token("tool", "call", "begin"), _token("tool", "call", "end")
SEPARATOR = _token("tool", "sep")
TOKENS = (BEGIN, END, CALL, CALL_END, SEPARATOR)

_FENCE = "```json"

SPELLINGS = (
    Spelling(
        opening=BEGIN,
        begin=f"{CALL}function{SEPARATOR}{{name}}\n{_FENCE}\n",
        end=f"\n```{CALL_END}",
        between="\n",
        closing=END,
        sign=_FENCE,
    ),
    Spelling(opening=BEGIN, begin=f"{CALL}{{name}}{SEPARATOR}", end=CALL_END, closing=END),
)


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while marker := (yield from source.content_until(BEGIN, CALL)):
        while marker in (BEGIN, CALL):
            if marker == CALL:
                yield from _call(source)
            marker = (yield from source.until(CALL, END))[1]


def _call(source: Source) -> Reader[None]:
    name, _ = yield from source.until(SEPARATOR)
    if name == "function":
        before, begin = yield from source.until("{", CALL_END)
        name = before.partition(_FENCE)[0].strip()
        source.unread(begin)
    index = yield from source.call(name)
    yield from json_calls.arguments(source, index)
    yield from source.until(CALL_END)
