"""Each format's golden answers, as the models' own chat templates show earlier calls."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event, Reasoning
from radixloom_runtime.text.reading import AnswerReader, Reading
from radixloom_runtime.text.tools.registry import TOOL_FORMATS, tool_format_of
from radixloom_runtime.text.tools.toolbox import Toolbox

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "exact": {"type": "boolean"},
        "hours": {"type": "array", "items": {"type": "integer"}},
        "unit": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
TOOLBOX = Toolbox({"get_weather": WEATHER, "get_time": {}})
PARIS = ("get_weather", {"city": "Paris", "days": 3})
TIME = ("get_time", {"zone": "CET"})
QUOTED = ("get_weather", {"city": 'Saint "Ouen" {]} \\ Ω', "hours": [1, 2]})


@dataclass
class Told:
    """All that an answer's events say."""

    content: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: Event) -> None:
        match event:
            case Content():
                self.content += event.text
            case Reasoning():
                self.reasoning += event.text
            case CallStart():
                assert event.index == len(self.calls)
                self.calls.append({"id": event.call_id, "name": event.name, "arguments": ""})
            case CallArguments():
                self.calls[event.index]["arguments"] += event.text


def told(reader: AnswerReader, *pieces: str) -> Told:
    found = Told()
    for piece in pieces:
        for event in reader.feed(piece):
            found.add(event)
    for event in reader.finish():
        found.add(event)
    return found


def calls_of(found: Told) -> list[tuple[str, Any]]:
    return [(call["name"], json.loads(call["arguments"])) for call in found.calls]


def _call_json(name: str, arguments: Any, key: str = "arguments") -> str:
    return json.dumps({"name": name, key: arguments}, ensure_ascii=False)


HERMES = "<tool_call>\n{}\n</tool_call>"
PARIS_HERMES, TIME_HERMES = HERMES.format(_call_json(*PARIS)), HERMES.format(_call_json(*TIME))
DEEPSEEK = (
    "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>{}\n"
    "```json\n{}\n```<\uff5ctool\u2581call\u2581end\uff5c>"
)
DEEPSEEK_31 = (
    "<\uff5ctool\u2581call\u2581begin\uff5c>{}<\uff5ctool\u2581sep\uff5c>{}"
    "<\uff5ctool\u2581call\u2581end\uff5c>"
)
DEEPSEEK_CALLS = "<\uff5ctool\u2581calls\u2581begin\uff5c>{}<\uff5ctool\u2581calls\u2581end\uff5c>"
KIMI = "<|tool_call_begin|>functions.{}:{}<|tool_call_argument_begin|>{}<|tool_call_end|>"
KIMI_CALLS = "<|tool_calls_section_begin|>{}<|tool_calls_section_end|>"
PARIS_XML = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
)
TIME_XML = (
    "<tool_call>\n<function=get_time>\n<parameter=zone>\nCET\n</parameter>\n"
    "</function>\n</tool_call>"
)
QUOTED_XML = (
    "<function=get_weather>\n<parameter=city>\n" + QUOTED[1]["city"] + "\n</parameter>\n"
    "<parameter=hours>\n[1, 2]\n</parameter>\n</function>"
)
PARIS_GLM = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
    "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"
)
TIME_GLM = "<tool_call>get_time<arg_key>zone</arg_key><arg_value>CET</arg_value></tool_call>"
QUOTED_GLM = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>"
    + QUOTED[1]["city"]
    + "</arg_value>\n<arg_key>hours</arg_key>\n<arg_value>[1, 2]</arg_value>\n</tool_call>"
)
QUOTED_PYTHON = "get_weather(city='Saint \"Ouen\" {]} \\\\ Ω', hours=[1, 2])"
HARMONY_CALL = (
    "<|start|>assistant<|channel|>commentary to=functions.{} <|constrain|>json<|message|>{}<|call|>"
)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


TIME_HARMONY = HARMONY_CALL.format("get_time", _dump(TIME[1])).removesuffix("<|call|>")


# format, answer, content, reasoning, calls
GOLDENS: list[tuple[str, str, str, str, list[tuple[str, Any]]]] = [
    ("hermes", HERMES.format(_call_json(*PARIS)), "", "", [PARIS]),
    (
        "hermes",
        f"Let me look.\n{PARIS_HERMES}\n{TIME_HERMES}",
        "Let me look.",
        "",
        [PARIS, TIME],
    ),
    ("hermes", HERMES.format(_call_json(*QUOTED)) + "\n", "", "", [QUOTED]),
    ("hermes", HERMES.format(_call_json("get_time", {})), "", "", [("get_time", {})]),
    ("hermes", HERMES.format('{"name": "get_time"}'), "", "", [("get_time", {})]),
    ("hermes", HERMES.format('{"arguments": {"zone": "CET"}, "name": "get_time"}'), "", "", [TIME]),
    ("hermes", HERMES.format(_call_json("get_time", '{"zone": "CET"}')), "", "", [TIME]),
    ("hermes", HERMES.format("not JSON"), HERMES.format("not JSON"), "", []),
    ("hermes", "a <tool> b <tool_cal", "a <tool> b <tool_cal", "", []),
    ("hermes", "Hello. \n", "Hello. \n", "", []),
    ("qwen3-coder", "I see.\n\n" + PARIS_XML + "\n" + TIME_XML, "I see.", "", [PARIS, TIME]),
    ("qwen3-coder", QUOTED_XML, "", "", [QUOTED]),
    ("qwen3-coder", "<function=get_time>\n</function>", "", "", [("get_time", {})]),
    ("qwen3-coder", "<tool_call>x", "<tool_call>x", "", []),
    ("glm", "\nWell.\n" + PARIS_GLM + "\n" + TIME_GLM, "\nWell.", "", [PARIS, TIME]),
    ("glm", QUOTED_GLM, "", "", [QUOTED]),
    ("glm", "<tool_call>get_time\n</tool_call>", "", "", [("get_time", {})]),
    ("llama3", _call_json(*PARIS, "parameters"), "", "", [PARIS]),
    ("llama3", "<|python_tag|>" + _call_json(*QUOTED, "parameters"), "", "", [QUOTED]),
    (
        "llama3",
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris", "days": 3}}; '
        + _call_json(*TIME, "parameters"),
        "",
        "",
        [PARIS, TIME],
    ),
    ("llama3", '{"name": "Ada", "parameters": 1}', '{"name": "Ada", "parameters": 1}', "", []),
    ("llama3", '{"answer": 42}', '{"answer": 42}', "", []),
    ("llama3", " Hello ", " Hello ", "", []),
    (
        "pythonic",
        "[get_weather(city='Paris', days=3), get_time(zone=\"CET\")]",
        "",
        "",
        [PARIS, TIME],
    ),
    (
        "pythonic",
        f"<|python_start|>[{QUOTED_PYTHON}]<|python_end|>",
        "",
        "",
        [QUOTED],
    ),
    (
        "pythonic",
        "[get_weather(exact=true, unit=null)]",
        "",
        "",
        [("get_weather", {"exact": True, "unit": None})],
    ),
    ("pythonic", "[1] says so", "[1] says so", "", []),
    ("pythonic", "[f(x) for x in y]", "[f(x) for x in y]", "", []),
    ("mistral", f"[TOOL_CALLS] [{_call_json(*PARIS)}, {_call_json(*TIME)}]", "", "", [PARIS, TIME]),
    (
        "mistral",
        "Sure. [TOOL_CALLS]get_weather[ARGS]"
        + _dump(QUOTED[1])
        + "[TOOL_CALLS]get_time"
        + _dump(TIME[1]),
        "Sure.",
        "",
        [QUOTED, TIME],
    ),
    (
        "deepseek-v3",
        "Ok"
        + DEEPSEEK_CALLS.format(
            DEEPSEEK.format("get_weather", _dump(PARIS[1]))
            + "\n"
            + DEEPSEEK.format("get_time", _dump(TIME[1]))
        ),
        "Ok",
        "",
        [PARIS, TIME],
    ),
    (
        "deepseek-v3",
        DEEPSEEK_CALLS.format(
            DEEPSEEK_31.format("get_weather", _dump(QUOTED[1]))
            + DEEPSEEK_31.format("get_time", "{}")
        ),
        "",
        "",
        [QUOTED, ("get_time", {})],
    ),
    (
        "kimi",
        "Ok"
        + KIMI_CALLS.format(
            KIMI.format("get_weather", 0, _dump(QUOTED[1]))
            + KIMI.format("get_time", 1, _dump(TIME[1]))
        ),
        "Ok",
        "",
        [QUOTED, TIME],
    ),
    (
        "glm4-0414",
        "get_weather\n" + _dump(PARIS[1]) + "<|assistant|>get_time\n" + _dump(TIME[1]),
        "",
        "",
        [PARIS, TIME],
    ),
    ("glm4-0414", "get_wealth\n{", "get_wealth\n{", "", []),
    (
        "gpt-oss",
        "<|channel|>analysis<|message|>Weather?<|end|>"
        + HARMONY_CALL.format("get_weather", _dump(QUOTED[1])),
        "",
        "Weather?",
        [QUOTED],
    ),
    (
        "gpt-oss",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>I will look.<|end|>" + TIME_HARMONY,
        "I will look.",
        "Hm.",
        [TIME],
    ),
    (
        "gpt-oss",
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final"
            "<|message|>Hello! "
        ),
        "Hello! ",
        "Hm.",
        [],
    ),
    (
        "gpt-oss",
        "<|start|>assistant to=functions.get_time<|channel|>commentary json<|message|>"
        + _dump(TIME[1])
        + "<|call|>",
        "",
        "",
        [TIME],
    ),
]
IDS = [f"{name}-{number}" for number, (name, *_) in enumerate(GOLDENS)]


def reader(name: str) -> AnswerReader:
    return Reading(tool_format=name, toolbox=TOOLBOX).open()


@pytest.mark.parametrize(("name", "answer", "content", "reasoning", "calls"), GOLDENS, ids=IDS)
def test_an_answer_is_read_as_it_is_meant(
    name: str, answer: str, content: str, reasoning: str, calls: list[tuple[str, Any]]
):
    found = told(reader(name), answer)
    assert (found.content, found.reasoning, calls_of(found)) == (content, reasoning, calls)


@pytest.mark.parametrize(("name", "answer", "content", "reasoning", "calls"), GOLDENS, ids=IDS)
def test_character_by_character_it_is_the_same(
    name: str, answer: str, content: str, reasoning: str, calls: list[tuple[str, Any]]
):
    found = told(reader(name), *answer)
    assert (found.content, found.reasoning, calls_of(found)) == (content, reasoning, calls)


@st.composite
def cut_answers(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An answer of some format, whole, broken off or with noise in it, cut into pieces."""
    name, answer, *_ = draw(st.sampled_from(GOLDENS))
    _, other, *_ = draw(st.sampled_from([each for each in GOLDENS if each[0] == name]))
    start = draw(st.integers(0, len(answer)))
    noise = draw(st.sampled_from(["", " ", "\n", "<", '"', "}", "{", "[", "é", other]))
    text = answer[:start] + noise + answer[draw(st.integers(start, len(answer))) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    edges = [0, *cuts, len(text)]
    return name, [text[a:b] for a, b in itertools.pairwise(edges)]


def _without_ids(found: Told) -> Any:
    calls = [(call["name"], call["arguments"]) for call in found.calls]
    return found.content, found.reasoning, calls


@settings(max_examples=400, deadline=None)
@given(cut_answers())
def test_however_an_answer_is_cut_it_tells_the_same(case: tuple[str, list[str]]):
    name, pieces = case
    whole = told(reader(name), "".join(pieces))
    assert _without_ids(told(reader(name), *pieces)) == _without_ids(whole)


def test_arguments_stream_while_the_model_writes_them():
    streaming = reader("hermes")
    streaming.feed('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Pa')
    assert streaming.feed("ris") == [CallArguments(0, "ris")]


def test_content_streams_while_it_can_be_no_call():
    streaming = reader("hermes")
    assert streaming.feed("Hello") == [Content("Hello")]
    assert streaming.feed(" <tool") == []
    assert streaming.feed("box>") == [Content(" <toolbox>")]


def test_a_call_that_is_cut_off_keeps_what_there_is():
    found = told(reader("hermes"), '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Pa')
    assert [(call["name"], call["arguments"]) for call in found.calls] == [
        ("get_weather", '{"city": "Pa')
    ]


def test_kimis_ids_are_the_models_own():
    found = told(reader("kimi"), KIMI_CALLS.format(KIMI.format("get_time", 4, "{}")))
    assert found.calls[0]["id"] == "functions.get_time:4"


def test_mistrals_ids_are_nine_letters_or_digits():
    found = told(reader("mistral"), f"[TOOL_CALLS][{_call_json(*TIME)}]")
    assert len(found.calls[0]["id"]) == 9
    assert found.calls[0]["id"].isalnum()


def test_only_the_first_call_is_told_where_one_is_wanted():
    answer = HERMES.format(_call_json(*PARIS)) + HERMES.format(_call_json(*TIME))
    reading = Reading(tool_format="hermes", toolbox=TOOLBOX, one_call=True)
    assert calls_of(told(reading.open(), answer)) == [PARIS]


def test_without_tools_calls_are_words():
    answer = HERMES.format(_call_json(*PARIS))
    assert told(Reading().open(), answer).content == answer


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("five", "five"), ("True", True), ("[1, 'a']", [1, "a"]), ("{1, 2}", "{1, 2}")],
)
def test_bare_text_without_a_schema_is_json_or_python_or_a_string(text: str, value: Any):
    assert json.loads(Toolbox().argument("f", "x", text)) == value


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "integer"}, "five", "five"),
        ({"type": ["string", "null"]}, "null", None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "5", 5),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"type": "boolean"}, "True", True),
    ],
)
def test_bare_text_becomes_what_its_schema_wants(schema: Any, text: str, value: Any):
    toolbox = Toolbox({"f": {"properties": {"x": schema}}})
    assert json.loads(toolbox.argument("f", "x", text)) == value


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ tools }}<tool_call>", "hermes"),
        ("{{ tools }}<tool_call><function=", "qwen3-coder"),
        ("{{ tools }}<tool_call><arg_key>", "glm"),
        ("{{ tools }}<|channel|>", "gpt-oss"),
        ("{{ tools }}", None),
        ("<tool_call>", None),
    ],
)
def test_a_template_tells_its_format(template: str, name: str | None):
    assert tool_format_of(template) == name


def test_every_format_has_a_golden():
    assert {name for name, *_ in GOLDENS} == set(TOOL_FORMATS)


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["string", "integer", "null", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "anyOf", "oneOf", "enum"]), inner)
        ),
        max_leaves=8,
    ),
    st.text(alphabet='0123eE+-."[]{}:,aNItrufalsn\\d8 ', max_size=12),
)
def test_whatever_schema_a_client_sends_an_argument_is_json(schema: Any, text: str):
    written = Toolbox({"f": {"properties": {"x": schema}}}).argument("f", "x", text)
    json.loads(written, parse_constant=pytest.fail)
    written.encode()


@pytest.mark.parametrize("text", ["NaN", "1e999", "-Infinity"])
def test_numbers_that_json_has_not_stay_text(text: str):
    assert Toolbox().argument("f", "x", text) == json.dumps(text)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("hermes", HERMES.format('{"name": "f\\ud800", "arguments": "\\"\\\\ud800\\""}')),
        ("hermes", HERMES.format('{"name": "f", "arguments": "\\ud800"}')),
        ("pythonic", "[f(x='\\ud800')]"),
        ("glm", '<tool_call>f<arg_key>x</arg_key><arg_value>"\\ud800"</arg_value></tool_call>'),
    ],
)
def test_half_characters_that_a_model_escapes_can_still_be_sent(name: str, answer: str):
    found = told(reader(name), answer)
    assert len(found.calls) == 1
    found.calls[0]["name"].encode()
    found.calls[0]["arguments"].encode()
