"""Qwen3-Coder, and Qwen 3.5: tags all the way down, arguments as bare text.

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Paris
    </parameter>
    </function>
    </tool_call>

Models leave out the outer tag now and then; the inner one is enough.
"""

from radixloom_runtime.text.events import CallArguments
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools.spelling import Argument, Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox, to_json

_BEGIN, _END = "<tool_call>", "</tool_call>"
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
TOKENS = (_BEGIN, _END)
SPELLING = Spelling(
    begin=f"{_BEGIN}\n{_FUNCTION}{{name}}>\n",
    end=f"{_FUNCTION_END}\n{_END}",
    between="\n",
    argument=Argument(begin=f"{_PARAMETER}{{name}}>\n", end=f"\n{_PARAMETER_END}\n"),
)


def read(source: Source, toolbox: Toolbox) -> Reader[None]:
    """Read content and calls."""
    while marker := (yield from source.content_until(_BEGIN, _FUNCTION)):
        if marker == _BEGIN:
            source.begin()
            yield from source.skip_space()
            if not (yield from source.starts_with(_FUNCTION)):
                yield from source.content(_BEGIN + source.commit())
                continue
            source.commit()
        yield from _function(source, toolbox)
        yield from source.skip_space()
        yield from source.starts_with(_END)


def _function(source: Source, toolbox: Toolbox) -> Reader[None]:
    name, _ = yield from source.until(">")
    index = yield from source.call(name)
    separator = "{"
    while True:
        _, marker = yield from source.until(_PARAMETER, _FUNCTION_END, _END)
        if marker != _PARAMETER:
            break
        parameter, _ = yield from source.until(">")
        text, marker = yield from source.until(_PARAMETER_END)
        if not marker:
            return  # cut off within
        argument = toolbox.argument(name, parameter, _without_line_ends(text))
        yield CallArguments(index, f"{separator}{to_json(parameter)}: {argument}")
        separator = ", "
    if marker:
        yield CallArguments(index, "{}" if separator == "{" else "}")


def _without_line_ends(text: str) -> str:
    return text.removeprefix("\n").removesuffix("\n")
