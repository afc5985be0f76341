"""From what a request says its answer must be, to a grammar of the whole answer.

    response_format, guided_* ─► content ─┐
    tools, tool_choice ────────► calls ───┼─► thinking? (content | calls) ─► Grammar
    how the model thinks ─────────────────┘

Here the form alone is checked; whether a schema can be held, the engine finds when it compiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.schema_guided import (
    Content,
    Guided,
    InGrammar,
    InJson,
    Matched,
    OneOf,
    StructuralTag,
)
from radixloom_runtime.text import grammar
from radixloom_runtime.text.grammar import ANYTHING, Rules
from radixloom_runtime.text.reading import Reading
from radixloom_runtime.text.tokenizer import Tokenizer
from radixloom_runtime.text.tools import harmony
from radixloom_runtime.text.tools.spelling import Parameters, Spelling

Expression = Callable[[Rules], str]
"""Adds rules, and returns what stands for them."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What an answer must be, and which parameter says so."""

    text: str
    param: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Tools that an answer has to call, or may call."""

    spelling: Spelling
    tools: Mapping[str, Parameters]
    is_required: bool
    only_one: bool
    param: str
    """What of the request wants them held to their form."""


def content_of(request: Guided) -> tuple[str, Expression] | None:
    """Return which parameter says what the content must be, and that; None: it may be anything.

    Raises: `RequestError` for a grammar in no notation that is known.
    """
    for param, content in request.guidance.items():
        return param, _expression(param, content)
    return None


def plain(request: Guided, tokenizer: Tokenizer) -> Grammar | None:
    """Return the grammar of a text completion."""
    found = content_of(request)
    if found is None:
        return None
    rules = Rules(tokenizer.marks)
    return Grammar(rules.written(found[1](rules)), found[0])


def of_chat(
    request: Guided, reading: Reading, calls: Calls | None, tokenizer: Tokenizer
) -> Grammar | None:
    """Return the grammar of a chat's answer, which may think first and call tools."""
    found = content_of(request)
    if found is None and calls is None:
        return None
    rules = Rules(tokenizer.marks)
    said = None if found is None else found[1](rules)
    spoken = _spoken(rules, said, calls, reads_channels=reading.reads_channels)
    param = found[0] if found is not None else calls.param if calls is not None else ""
    return Grammar(rules.written(f"{_thinking(rules, reading)} {spoken}"), param)


def _thinking(rules: Rules, reading: Reading) -> str:
    if reading.reads_channels:
        return harmony.thinking(rules)
    if reading.tags is None:
        return ""
    return rules.thinking(reading.tags, is_open=reading.begins_in_reasoning)


def _spoken(rules: Rules, said: str | None, calls: Calls | None, *, reads_channels: bool) -> str:
    """Return an expression of content, of calls, or of either."""
    final = harmony.final(rules) if reads_channels else ""
    if calls is None:
        return f"{final} {said}"
    called = calls.spelling.calls(rules, calls.tools, only_one=calls.only_one)
    if calls.is_required:
        return called
    if said is not None:
        return grammar.any_of([f"{final} {said}", called])
    if reads_channels:
        return grammar.any_of([f"{final} {ANYTHING}", called])
    return f"{ANYTHING} ({called} {ANYTHING})?"


def _expression(param: str, content: Content) -> Expression:
    match content:
        case InJson():
            return lambda _: grammar.of_json(content.schema)
        case Matched():
            return lambda _: grammar.of_regex(content.pattern)
        case OneOf():
            return lambda _: grammar.any_of(map(grammar.quoted, content.texts))
        case InGrammar():
            lark = _as_lark(param, content.text)
            return lambda rules: rules.add_grammar(lark)
        case StructuralTag():
            return lambda rules: _structures(rules, content)


def _as_lark(param: str, text: str) -> str:
    """Translate GBNF. Raises: `RequestError`."""
    from llguidance.gbnf_to_lark import any_to_lark  # only for those who bring a grammar

    try:
        return any_to_lark(text)
    except Exception as error:  # a parser for strangers' text, which says nothing of what it raises
        raise RequestError(
            f"{param}: a grammar in Lark's or GBNF's notation was wanted: {error}",
            param=param,
            code="invalid_grammar",
        ) from error


def _structures(rules: Rules, tag: StructuralTag) -> str:
    """Return an expression of free text in which triggers begin structures."""
    ways: list[str] = []
    for trigger in tag.triggers:
        ends = [
            f"{rules.literal(rest)} {grammar.of_json(each.schema_)} {rules.literal(each.end)}"
            for each in tag.structures
            if (rest := each.begin.removeprefix(trigger)) != each.begin
        ]
        ways.append(f"{rules.text_until(trigger)} {grammar.any_of(ends)}")
    return f"{grammar.any_of(ways)}* {ANYTHING}"
