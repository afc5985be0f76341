"""What a model is held to write is what its format reads."""

import json
import random
from collections.abc import Iterator

import jsonschema
import pytest
from llguidance import LLMatcher, LLTokenizer
from support.tiny import tiny_tokenizer, tiny_vocabulary

from radixloom_runtime.text.events import CallArguments, CallStart, Content
from radixloom_runtime.text.grammar import Rules
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.text.tools.registry import TOOL_FORMATS
from radixloom_runtime.text.tools.spelling import Spelling, closed, spelling_for
from radixloom_runtime.text.tools.toolbox import Toolbox

MARKS = tiny_tokenizer().marks
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", 'Saint "Ouen"', "Ω"]},
        "days": {"type": "integer", "minimum": 0, "maximum": 99},
        "hours": {"type": "array", "items": {"$ref": "#/$defs/hour"}, "maxItems": 2},
        "exact": {"type": "boolean"},
    },
    "required": ["city", "hours"],
    "$defs": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}},
}
TOOLS = {"get_weather": WEATHER, "get_time": {}}
SPELLINGS = [
    (name, number, spelling)
    for name, each in TOOL_FORMATS.items()
    for number, spelling in enumerate(each.spellings)
]
named = pytest.mark.parametrize(
    ("name", "spelling"),
    [(name, spelling) for name, _, spelling in SPELLINGS],
    ids=[f"{name}-{number}" for name, number, _ in SPELLINGS],
)


@pytest.fixture(scope="module")
def vocabulary() -> LLTokenizer:
    return tiny_vocabulary()


def matcher_of(vocabulary: LLTokenizer, spelling: Spelling, *, only_one: bool = False) -> LLMatcher:
    rules = Rules(MARKS)
    written = rules.written(spelling.calls(rules, TOOLS, only_one=only_one))
    matcher = LLMatcher(vocabulary, written, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def wander(vocabulary: LLTokenizer, matcher: LLMatcher, choose: random.Random) -> str:
    """An answer that somebody writes who chooses each token by lot, and stops where possible."""
    ids: list[int] = []
    (eos,) = vocabulary.eos_tokens
    while not matcher.is_stopped():
        bits = int.from_bytes(matcher.compute_bitmask(), "little")
        allowed = [token for token in range(vocabulary.vocab_size) if bits >> token & 1]
        token = eos if eos in allowed else choose.choice(allowed)
        assert matcher.consume_token(token)
        ids += [token] if token != eos else []
        assert len(ids) < 5000
    return tiny_tokenizer().decode(ids, skip_special_tokens=False)


def read(name: str, text: str) -> Iterator[tuple[str, str]]:
    """The calls in an answer: name and arguments; anything else fails."""
    reader = Reading(tool_format=name, toolbox=Toolbox(TOOLS)).open()
    calls: list[list[str]] = []
    for event in [*reader.feed(text), *reader.finish()]:
        match event:
            case CallStart():
                calls.append([event.name, ""])
            case CallArguments():
                calls[event.index][1] += event.text
            case Content():
                assert not event.text.strip(), f"content beside the calls in {text!r}"
            case _:
                raise AssertionError(event)
    return ((call[0], call[1]) for call in calls)


@named
def test_whatever_is_allowed_is_read_as_calls_with_arguments_by_their_schemas(
    vocabulary, name, spelling
):
    found: set[str] = set()
    for seed in range(12):
        text = wander(vocabulary, matcher_of(vocabulary, spelling), random.Random(seed))
        calls = list(read(name, text))
        assert calls, text
        for tool, arguments in calls:
            jsonschema.validate(json.loads(arguments), dict(closed(TOOLS[tool])))
            found.add(tool)
    assert found == set(TOOLS)


@named
def test_more_calls_follow_unless_only_one_is_wanted(vocabulary, name, spelling):
    one = wander(vocabulary, matcher_of(vocabulary, spelling, only_one=True), random.Random(1))
    call = one.removeprefix(spelling.opening)
    call = call[: len(call) - len(spelling.closing)]
    two = spelling.opening + call + spelling.between + call + spelling.closing
    ids = tiny_tokenizer().encode(two, add_special_tokens=False)

    def takes_both(*, only_one: bool) -> bool:
        matcher = matcher_of(vocabulary, spelling, only_one=only_one)
        return matcher.try_consume_tokens(ids) == len(ids)

    assert takes_both(only_one=False) is not spelling.only_one
    assert not takes_both(only_one=True)
    if not spelling.only_one:
        assert len(list(read(name, two))) == 2


@pytest.mark.parametrize("name", ["glm", "qwen3-coder"])
def test_bare_strings_go_up_to_their_end_whatever_is_in_them(vocabulary, name):
    tools = {"note": {"type": "object", "properties": {"text": {"type": "string"}}}}
    for spelling in TOOL_FORMATS[name].spellings:
        rules, form = Rules(MARKS), spelling.argument
        assert form is not None
        written = rules.written(spelling.calls(rules, tools, only_one=True))
        matcher = LLMatcher(vocabulary, written, log_level=0)
        words = 'two\nlines, {"no": JSON} </p>'
        argument = form.begin.replace("{name}", "text") + words + form.end
        text = spelling.begin.replace("{name}", "note") + argument + spelling.end
        ids = tiny_tokenizer().encode(text, add_special_tokens=False)
        assert matcher.try_consume_tokens(ids) == len(ids)
        assert matcher.is_accepting()
        ((_, arguments),) = read(name, text)
        assert json.loads(arguments) == {"text": words}


def test_the_template_tells_which_of_several_spellings_a_model_knows():
    mistral, deepseek = TOOL_FORMATS["mistral"].spellings, TOOL_FORMATS["deepseek-v3"].spellings
    assert spelling_for(mistral, "... [TOOL_CALLS]name[ARGS] ...").begin.endswith("[ARGS]")
    assert spelling_for(mistral, "... [TOOL_CALLS] [ ...").opening == "[TOOL_CALLS] ["
    assert "```json" in spelling_for(deepseek, "...```json...").begin
    assert "```" not in spelling_for(deepseek, "...").begin


def test_every_format_can_hold_a_model_to_calls():
    assert all(each.spellings for each in TOOL_FORMATS.values())
