"""gpt-oss: messages in channels, which OpenAI calls harmony.

    <|channel|>analysis<|message|>The user asks for the weather.<|end|>
    <|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>
    {"city": "Paris"}<|call|>

A message to a function is a call, one in the channel `analysis` is reasoning, and every other
(`final`; `commentary` that is for nobody: a preamble) is content. The prompt ends within the first
head. Messages of a kind are told with a line end between them.
"""

import re

from radixloom_runtime.text.events import CallArguments, Content, Reasoning
from radixloom_runtime.text.grammar import Rules
from radixloom_runtime.text.source import Reader, Source
from radixloom_runtime.text.tools.spelling import Spelling
from radixloom_runtime.text.tools.toolbox import Toolbox

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
TOKENS = ("<|channel|>", "<|constrain|>", _MESSAGE, *_ENDS)
SPELLING = Spelling(
    begin=f"<|channel|>commentary to=functions.{{name}} <|constrain|>json{_MESSAGE}",
    end="",
    only_one=True,
)

_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


def thinking(rules: Rules) -> str:
    """Return an expression of what the model may think before it speaks."""
    begin = rules.literal(f"<|channel|>analysis{_MESSAGE}")
    next_head = rules.literal("<|start|>assistant")
    return f"({begin} {rules.text_until('<|end|>')} {next_head})?"


def final(rules: Rules) -> str:
    """Return an expression of the head of the message that is for the user."""
    return rules.literal(f"<|channel|>final{_MESSAGE}")


def read(source: Source, _: Toolbox) -> Reader[None]:
    """Read messages until the answer ends."""
    told: set[type[Content | Reasoning]] = set()
    while True:
        head, marker = yield from source.until(_MESSAGE)
        if not marker:  # cut off within a head, or no channels at all
            yield from _without_channel(head)
            return
        if (recipient := _RECIPIENT.search(head)) and recipient[1].startswith("functions."):
            index = yield from source.call(recipient[1].removeprefix("functions."))
            yield from source.stripped(lambda text, index=index: CallArguments(index, text), *_ENDS)
            continue
        channel = _CHANNEL.search(head)
        tell = Reasoning if channel and channel[1] == "analysis" else Content
        if tell in told:
            yield tell("\n")
        told.add(tell)
        yield from source.passing(tell, *_ENDS)


def _without_channel(text: str) -> Reader[None]:
    if text.strip() and not any(token in text for token in TOKENS):
        yield Content(text)
