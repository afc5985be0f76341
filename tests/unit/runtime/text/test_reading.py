import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.text.reasoning import REASONING_TAGS, reasoning_format_of
from radixloom_runtime.text.tools.toolbox import Toolbox

THOUGHT = "<think>\nShe greets.\n\nBriefly.\n</think>\n\nHello <b>!\n"


def told(reading: Reading, *pieces: str) -> tuple[str, str]:
    """Return content and reasoning."""
    reader = reading.open()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.finish()
    return _joined(events, Content), _joined(events, Reasoning)


def _joined(events: list[Event], kind: type[Content | Reasoning]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


QWEN3 = Reading(reasoning_format="qwen3")


@pytest.mark.parametrize("format_name", ["qwen3", "deepseek-r1", "glm", "kimi"])
def test_what_is_between_the_tags_is_reasoning(format_name: str):
    reading = Reading(reasoning_format=format_name)
    assert told(reading, THOUGHT) == ("Hello <b>!\n", "She greets.\n\nBriefly.")


def test_mistral_has_tags_of_its_own():
    reading = Reading(reasoning_format="mistral")
    assert told(reading, "[THINK]Hm.[/THINK]Hello") == ("Hello", "Hm.")


def test_an_answer_may_begin_within_the_tags():
    reading = Reading(reasoning_format="qwen3", begins_in_reasoning=True)
    assert told(reading, "She greets.\n</think>\n\nHello") == ("Hello", "She greets.")
    assert told(reading, "<think>\nShe greets.\n</think>\n\nHello") == ("Hello", "She greets.")
    assert told(reading, "She gre") == ("", "She gre")


def test_a_prompt_tells_whether_the_answer_begins_within():
    tags = REASONING_TAGS["qwen3"]
    assert tags.is_open_at_end_of("<|im_start|>assistant\n<think>\n")
    assert not tags.is_open_at_end_of("<|im_start|>assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize("text", ["", "Hello", " \nHello\n", "<thin", "Say <think>x</think>"])
def test_an_answer_without_thoughts_is_content(text: str):
    assert told(QWEN3, text) == (text, "")


def test_an_empty_thought_is_no_reasoning():
    assert told(QWEN3, "<think>\n\n</think>\n\nHello") == ("Hello", "")


def test_reasoning_stays_in_the_content_when_asked_for():
    reading = Reading(reasoning_format="qwen3", tells_reasoning_apart=False)
    assert told(reading, THOUGHT) == (THOUGHT, "")
    channels = Reading(reasoning_format="gpt-oss", tells_reasoning_apart=False)
    answer = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>A"
    )
    assert told(channels, answer) == ("Hm.A", "")


def test_a_call_after_the_thought_is_one_and_within_it_none():
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    reading = Reading("hermes", "qwen3", Toolbox({"f": {}}))
    reader = reading.open()
    events = reader.feed(f"<think>{call}</think>\n{call}") + reader.finish()
    assert _joined(events, Reasoning) == call
    assert [type(event) for event in events if not isinstance(event, Reasoning)] == [
        CallStart,
        CallArguments,
    ]


def test_reasoning_streams_while_it_comes():
    reader = QWEN3.open()
    assert reader.feed("<think>\nShe") == [Reasoning("She")]
    assert reader.feed(" \n") == []
    assert reader.feed("greets</thi") == [Reasoning(" \ngreets")]
    assert reader.feed("nk>\n\n") == []
    assert reader.feed("Hello") == [Content("Hello")]


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="<think>/ \nab", max_size=40),
    st.lists(st.integers(0, 60), max_size=8),
    st.booleans(),
)
def test_however_an_answer_is_cut_it_tells_the_same(text: str, cuts: list[int], opened: bool):
    text = text.replace("tt", "<think>").replace("kk", "</think>")
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    reading = Reading(reasoning_format="qwen3", begins_in_reasoning=opened)
    assert told(reading, *pieces) == told(reading, text)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("a<think>b", "qwen3"),
        ("[THINK]", "mistral"),
        ("<|channel|>analysis", "gpt-oss"),
        ("", None),
    ],
)
def test_a_template_tells_its_format(template: str, name: str | None):
    assert reasoning_format_of(template) == name
