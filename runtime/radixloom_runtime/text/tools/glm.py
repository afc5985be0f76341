"""GLM 4.5 and later: the name, then keys and values as bare text.

    <tool_call>get_weather
    <arg_key>city</arg_key>
    <arg_value>Paris</arg_value>
    </tool_call>

The line ends came away with GLM 4.7.
"""

from radixloom_runtime.text.events import CallArguments
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools.spelling import Argument, Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox, to_json

_BEGIN, _END = "<tool_call>", "</tool_call>"
_KEY, _KEY_END = "<arg_key>", "</arg_key>"
_VALUE, _VALUE_END = "<arg_value>", "</arg_value>"
TOKENS = (_BEGIN, _END, _KEY, _KEY_END, _VALUE, _VALUE_END)

_ON_LINES = Argument(begin=f"{_KEY}{{name}}{_KEY_END}\n{_VALUE}", end=f"{_VALUE_END}\n")
_IN_A_ROW = Argument(begin=f"{_KEY}{{name}}{_KEY_END}{_VALUE}", end=_VALUE_END)
SPELLINGS = (
    Spelling(
        begin=f"{_BEGIN}{{name}}\n",
        end=_END,
        between="\n",
        argument=_ON_LINES,
        sign=f"{_KEY_END}\n{_VALUE}",
    ),
    Spelling(begin=f"{_BEGIN}{{name}}", end=_END, argument=_IN_A_ROW),
)


def read(source: Source, toolbox: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while (yield from source.content_until(_BEGIN)):
        name, marker = yield from source.until(_KEY, _END)
        index = yield from source.call(name.strip())
        separator = "{"
        while marker == _KEY:
            key, _ = yield from source.until(_KEY_END)
            yield from source.until(_VALUE)
            text, marker = yield from source.until(_VALUE_END)
            if not marker:
                break  # cut off within
            argument = toolbox.argument(name.strip(), key.strip(), text)
            yield CallArguments(index, f"{separator}{to_json(key.strip())}: {argument}")
            separator = ", "
            _, marker = yield from source.until(_KEY, _END)
        if marker == _END:
            yield CallArguments(index, "{}" if separator == "{" else "}")
