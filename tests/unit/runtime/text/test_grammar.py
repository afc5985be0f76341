"""Grammars that are written here, by what llguidance lets an answer be."""

import pytest
from llguidance import LLMatcher, LLTokenizer
from support.tiny import tiny_tokenizer, tiny_vocabulary

from radixloom_runtime.text import grammar
from radixloom_runtime.text.grammar import ANYTHING, Rules
from radixloom_runtime.text.reasoning import ThinkTags

THINK = ThinkTags("<think>", "</think>")
IN_WORDS = ThinkTags("[T]", "[/T]")
MARKS = tiny_tokenizer().marks
YES = grammar.of_json({"type": "boolean"})


@pytest.fixture(scope="module")
def vocabulary() -> LLTokenizer:
    return tiny_vocabulary()


def is_answer(vocabulary: LLTokenizer, text: str, answer: str) -> bool:
    """Whether `answer`, tokenized as the model would, is a whole answer of the grammar."""
    matcher = LLMatcher(vocabulary, text, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tiny_tokenizer().encode(answer, add_special_tokens=False)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def test_tags_are_marks_and_words_are_none():
    assert {"<think>", "</think>", "<tool_call>", "<|im_end|>"} <= MARKS.keys()
    assert all(token in tiny_tokenizer().backend.get_vocab() for token in MARKS)
    assert "the" not in MARKS


@pytest.mark.parametrize("tags", [THINK, IN_WORDS])
def test_a_model_may_think_before_it_answers_in_form(vocabulary, tags):
    rules = Rules(MARKS)
    written = rules.written(f"{rules.thinking(tags, is_open=False)} {YES}")
    assert is_answer(vocabulary, written, "true")
    assert is_answer(vocabulary, written, f"{tags.begin}\nfalse, or [/ not?{tags.end}\n\ntrue")
    assert not is_answer(vocabulary, written, f"{tags.begin}true")
    assert not is_answer(vocabulary, written, f"{tags.begin}hm{tags.end}maybe")
    assert not is_answer(vocabulary, written, "maybe")


@pytest.mark.parametrize("tags", [THINK, IN_WORDS])
def test_a_model_that_thinks_already_has_to_come_to_an_end(vocabulary, tags):
    rules = Rules(MARKS)
    written = rules.written(f"{rules.thinking(tags, is_open=True)} {YES}")
    assert is_answer(vocabulary, written, f"well{tags.end}\ntrue")
    assert not is_answer(vocabulary, written, "true")


@pytest.mark.parametrize("text", ['é\n"', "<tool_call>\nx</tool_call>", "\\d", "a\x01b", "😀"])
def test_a_literal_is_that_text_and_no_other(vocabulary, text):
    rules = Rules(MARKS)
    written = rules.written(rules.literal(text))
    assert is_answer(vocabulary, written, text)
    assert not is_answer(vocabulary, written, text + "x")
    assert not is_answer(vocabulary, written, text[:-1])


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("a/b\\/c", "a/b/c", "a/b"),
        ("^ab$", "ab", "abb"),
        ("a\nb", "a\nb", "ab"),
        (r"\d{3}-\d", "123-4", "12-34"),
        (r"[\\/]+", "\\/", "x"),
    ],
)
def test_a_regular_expression_is_matched_from_end_to_end(vocabulary, pattern, matched, not_matched):
    written = Rules(MARKS).written(grammar.of_regex(pattern))
    assert is_answer(vocabulary, written, matched)
    assert not is_answer(vocabulary, written, not_matched)


def test_json_is_written_as_python_writes_it_unless_the_schema_says_otherwise(vocabulary):
    schema = {"type": "array", "items": {"type": "integer"}}
    written = Rules(MARKS).written(grammar.of_json(schema))
    assert is_answer(vocabulary, written, "[1, 2]")
    assert not is_answer(vocabulary, written, "[1,2]")
    at_will = {**schema, "x-guidance": {"whitespace_flexible": True, "item_separator": ","}}
    written = Rules(MARKS).written(grammar.of_json(at_will))
    assert is_answer(vocabulary, written, "[1,2]")
    assert is_answer(vocabulary, written, "[ 1,\n2 ]")


def test_somebodys_grammar_keeps_its_own_names(vocabulary):
    rules = Rules(MARKS)
    inner = rules.add_grammar('start: r1+\nr1: "x" | "y"')
    written = rules.written(f"{rules.add(grammar.quoted('a'))} {inner}")
    assert is_answer(vocabulary, written, "axyx")
    assert not is_answer(vocabulary, written, "a")


@pytest.mark.parametrize("trigger", ["<tool_call>", "[call]"])
def test_text_goes_up_to_the_first_end_and_what_follows_is_held(vocabulary, trigger):
    rules = Rules(MARKS)
    written = rules.written(f"({rules.text_until(trigger)} {YES})* {ANYTHING}")
    assert is_answer(vocabulary, written, "no call at all [cal < tool")
    assert is_answer(vocabulary, written, f"a {trigger}true and {trigger}false, well")
    assert not is_answer(vocabulary, written, f"a {trigger}maybe")
