from typing import Any

import pytest

from radixloom_runtime.server.anthropic import block_stream
from radixloom_runtime.server.anthropic.block_stream import BlockStream, input_of
from radixloom_runtime.server.anthropic.replies import TextBlock, ThinkingBlock, ToolUseBlock
from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning

ANSWER: list[Event] = [
    Reasoning("a"),
    Reasoning("b"),
    Content("c"),
    CallStart(0, "f", "call_1"),
    CallArguments(0, '{"x":'),
    CallArguments(0, " 1}"),
    CallStart(1, "g", "call_2"),
    Content("d"),
]


def test_pieces_of_one_kind_are_one_block():
    blocks = BlockStream()
    told = blocks.feed(ANSWER) + blocks.close()
    assert block_stream.whole(told) == [
        ThinkingBlock("ab"),
        TextBlock("c"),
        ToolUseBlock("call_1", "f", {"x": 1}),
        ToolUseBlock("call_2", "g", {}),
        TextBlock("d"),
    ]
    assert blocks.called


def test_an_empty_answer_has_no_blocks():
    blocks = BlockStream()
    assert blocks.feed([]) + blocks.close() == []
    assert not blocks.called


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1, "b": [2', {"a": 1, "b": [2]}),
        ('{"a": "Par', {"a": "Par"}),
        ("{'a': 1}", {"INVALID_JSON": "{'a': 1}"}),
        ("[1]", {"INVALID_JSON": "[1]"}),
    ],
)
def test_nothing_that_a_model_wrote_as_arguments_is_lost(arguments: str, found: dict[str, Any]):
    assert input_of(arguments) == found
