"""Grammars compiled and followed over a real tokenizer."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from llguidance import LLMatcher, LLTokenizer
from support.serving import request
from support.tiny import tiny_vocabulary

from radixloom_runtime.engine import guides as engine_guides
from radixloom_runtime.engine.guides import GrammarGuide, Guides
from radixloom_runtime.errors import ModelError
from radixloom_runtime.scheduler.guide import Guide
from radixloom_runtime.wire.messages import Submit

VOCAB_SIZE = 600
"""More than the tokenizer has: filling of the model's."""
EITHER = 'start: "yes" | "no"'
PAIR = LLMatcher.grammar_from_json_schema(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    overrides={"whitespace_flexible": False},
)


def tiny() -> LLTokenizer:
    return tiny_vocabulary(VOCAB_SIZE)


def submit(name: str, grammar: str) -> Submit:
    return request(name, [1], grammar=grammar)


def wait(guides: Guides) -> dict[str, Guide | str]:
    taken: dict[str, Guide | str] = {}
    until = time.monotonic() + 30
    while not guides.is_idle and time.monotonic() < until:
        taken |= {each.request_id: guide for each, guide in guides.take()}
        time.sleep(0.001)
    return taken


def guide_of(grammar: str, make: Callable[[], LLTokenizer] = tiny) -> Guide | str:
    guides = Guides(make)
    guides.begin(submit("a", grammar))
    return wait(guides)["a"]


def allowed(guide: Guide) -> set[int]:
    bits = int.from_bytes(guide.mask(), "little")
    return {token for token in range(VOCAB_SIZE) if bits >> token & 1}


def accept(guide: Guide, token: int) -> int:
    guide.accept(token)
    return token


def follow(guide: Guide, text: str) -> str:
    """Sample what spells `text`, token by token; return all that the answer has then."""
    vocabulary, spelled, ids = tiny(), "", list[int]()
    while not guide.is_over and spelled != text:
        rest = text[len(spelled) :]
        token = vocabulary.tokenize_str(rest)[0]
        assert token in allowed(guide), f"{rest!r} was to come after {spelled!r}"
        ids.append(accept(guide, token))
        ids += [accept(guide, must) for must in tuple(guide.forced())]
        spelled = vocabulary.decode_str(ids)
    return spelled


def test_what_can_only_come_next_is_forced_and_the_end_is_found():
    guide = guide_of(PAIR)
    assert not isinstance(guide, str)
    vocabulary = tiny()
    first = vocabulary.tokenize_str('{"name')[0]
    assert allowed(guide) == {first}
    guide.accept(first)
    forced = [accept(guide, must) for must in tuple(guide.forced())]
    assert vocabulary.decode_str([first, *forced]).startswith('{"name":')
    assert not guide.is_over
    vocabulary_end = follow(guide, '"Ada"}')
    assert json.loads('{"name":' + vocabulary_end) == {"name": "Ada"}
    assert guide.is_over
    assert guide.error is None


@pytest.mark.parametrize("num_appended", range(6))
def test_what_is_forced_is_the_same_however_much_of_it_is_appended(num_appended):
    """Forced text may be cut into tokens in several ways; the rest of it in other ones."""
    grammar = 'start: "a" /(in|the)/ "theinantheriantheinthere is another one\\n"'
    guide, whole = guide_of(grammar), guide_of(grammar)
    assert not isinstance(guide, str)
    assert not isinstance(whole, str)
    first = tiny().tokenize_str("a")[0]
    ids = [accept(guide, first)]
    in_one = [accept(whole, first)]
    for each, told in ((guide, ids), (whole, in_one)):
        token = min(allowed(each))
        told.append(accept(each, token))
    in_one += [accept(whole, must) for must in tuple(whole.forced())]
    ids += [accept(guide, must) for must in tuple(guide.forced())[:num_appended]]
    while len(ids) < len(in_one):
        (alone,) = allowed(guide)
        ids.append(accept(guide, alone))
    assert ids == in_one
    assert len(in_one) > 2 + num_appended


def test_the_end_of_the_sequence_is_allowed_where_the_grammar_may_end():
    guide = guide_of("start: /a+/")
    assert not isinstance(guide, str)
    (eos,) = tiny().eos_tokens
    assert eos not in allowed(guide)
    guide.accept(tiny().tokenize_str("a")[0])
    assert eos in allowed(guide)
    guide.accept(eos)
    assert guide.is_over


def test_filling_of_the_models_vocabulary_is_never_allowed():
    guide = guide_of("start: /(.|\\n)*/")
    assert not isinstance(guide, str)
    assert max(allowed(guide)) < 512


def test_answers_to_one_grammar_go_their_own_ways():
    guides = Guides(tiny)
    guides.begin(submit("a", EITHER))
    guides.begin(submit("b", EITHER))
    taken = wait(guides)
    a, b = taken["a"], taken["b"]
    assert not isinstance(a, str)
    assert not isinstance(b, str)
    assert follow(a, "yes") == "yes"
    assert follow(b, "no") == "no"


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("start: nothing", 'unknown name: "nothing"'),
        ('start: %json {"type": 12}', "type must be a string or array of strings"),
        ("start: /(a/", "unclosed group"),
    ],
)
def test_a_grammar_with_a_mistake_is_told_in_a_line(grammar, reason):
    error = guide_of(grammar)
    assert isinstance(error, str)
    assert reason in error
    assert "\n" not in error


def test_a_token_that_was_not_allowed_ends_in_an_error_without_the_grammar_in_it():
    guide = GrammarGuide(LLMatcher(tiny(), EITHER, log_level=0))
    guide.accept(tiny().tokenize_str("x")[0])
    assert guide.error is not None
    assert "\n" not in guide.error


def test_a_tokenizer_that_cannot_be_read_is_told_to_who_wants_it():
    def broken() -> LLTokenizer:
        raise ModelError("no tokenizer")

    assert guide_of(EITHER, broken) == (
        "no grammar can be followed with this model's tokenizer: no tokenizer"
    )


def test_who_has_gone_away_is_not_taken():
    guides = Guides(tiny)
    guides.begin(submit("a", EITHER))
    guides.drop("a")
    guides.drop("nobody")
    assert guides.is_idle
    assert guides.take() == []


def test_grammars_that_nobody_waits_for_are_forgotten_while_others_wait(monkeypatch):
    monkeypatch.setattr(engine_guides, "_MOST_KEPT", 3)
    guides = Guides(tiny)
    guides._kept["endless"] = Future()
    guides.begin(submit("waits", "endless"))
    until = time.monotonic() + 30
    for number in range(9):
        guides.begin(submit(f"r{number}", f'start: "{number}"'))
        while not guides.take():
            assert time.monotonic() < until
    assert list(guides._kept) == ["endless", 'start: "7"', 'start: "8"']
