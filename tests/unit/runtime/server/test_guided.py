"""What an answer must be, asked for by every name it has, through a real engine process.

The toy runner samples among the first 53 tokens of the tiny tokenizer, "!" to "U", so what is
wanted of it is spelled in these.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx
import jsonschema
import openai
import pydantic
import pytest
from llguidance import LLMatcher
from support.http_server import HttpServer
from support.tiny import tiny_tokenizer, tiny_vocabulary
from support.toy_engine import toy_engine

from radixloom_runtime.server import guided
from radixloom_runtime.server.schema_completions import CompletionRequest

MODEL = "tiny_tokenizer"
NUMBER = {"type": "integer", "minimum": 10, "maximum": 99}
TWO_DIGITS = re.compile("[1-9][0-9]")
AB = re.compile("A{3}|B")
GBNF = 'root ::= "A" "A" "A" | "B"\n'
LARK = 'start: "AAA" | "B"'


@pytest.fixture(scope="module")
def toy() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, request_chat_template=True) as running:
        yield running


def ask(server: HttpServer, path: str = "/v1/completions", **more: Any) -> httpx.Response:
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 40, **more}
    if path.endswith("chat/completions"):
        body.setdefault("messages", [{"role": "user", "content": "!"}])
        body.setdefault("chat_template", "!")
    else:
        body.setdefault("prompt", [1, 2, 3])
    return server.client.post(path, json=body)


def answer(server: HttpServer, **more: Any) -> str:
    response = ask(server, **more)
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "stop"
    return choice["text"]


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({"guided_json": NUMBER}, TWO_DIGITS),
        ({"guided_json": json.dumps(NUMBER)}, TWO_DIGITS),
        ({"guided_regex": "[A-C]{4}"}, re.compile("[A-C]{4}")),
        ({"guided_choice": ["AAA", "B"]}, AB),
        ({"guided_grammar": LARK}, AB),
        ({"guided_grammar": GBNF}, AB),
        ({"structured_outputs": {"json": NUMBER}}, TWO_DIGITS),
        ({"structured_outputs": {"regex": "[A-C]{4}"}}, re.compile("[A-C]{4}")),
        ({"structured_outputs": {"choice": ["AAA", "B"]}}, AB),
        ({"structured_outputs": {"grammar": LARK}}, AB),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": NUMBER, "strict": True},
                }
            },
            TWO_DIGITS,
        ),
    ],
)
def test_the_answer_is_what_was_asked_for(toy, asked, form):
    for seed in (1, 2, 5):
        assert form.fullmatch(answer(toy, seed=seed, **asked))


def test_a_stream_says_the_same(toy):
    whole = answer(toy, seed=1, guided_regex="[A-C]{4}")
    body = {"model": MODEL, "prompt": [1, 2, 3], "guided_regex": "[A-C]{4}", "seed": 1}
    text = ""
    with toy.client.stream("POST", "/v1/completions", json=body | {"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
    assert text == whole


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({"json_schema": json.dumps(NUMBER)}, TWO_DIGITS),
        ({"regex": "[A-C]{4}"}, re.compile("[A-C]{4}")),
        ({"ebnf": GBNF}, AB),
    ],
)
def test_the_native_api_has_names_of_its_own(toy, asked, form):
    body = {"input_ids": [1, 2, 3], "sampling_params": asked | {"max_new_tokens": 40}}
    assert form.fullmatch(toy.client.post("/generate", json=body).json()["text"])


NOT = json.dumps({"not": {}})


@pytest.mark.parametrize(
    ("asked", "param", "reason"),
    [
        ({"json_schema": "{"}, "sampling_params.json_schema", "text that is none"),
        ({"json_schema": NOT}, "sampling_params.json_schema", "Unimplemented"),
        ({"regex": "(a"}, "sampling_params.regex", "unclosed group"),
        ({"ebnf": "root ::= ("}, "sampling_params.ebnf", "notation"),
        ({"structural_tag": "{}"}, "sampling_params.structural_tag.structures", "required"),
        ({"regex": "a", "ebnf": LARK}, "sampling_params", "exclude each other"),
    ],
)
def test_the_native_api_refuses_by_its_own_names(toy, asked, param, reason):
    body = {"text": "A", "sampling_params": asked | {"max_new_tokens": 40}}
    response = toy.client.post("/generate", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert reason in error["message"]


def test_each_of_several_choices_keeps_to_the_form(toy):
    response = ask(toy, n=3, guided_choice=["AAA", "B"])
    texts = [choice["text"] for choice in response.json()["choices"]]
    assert len(texts) == 3
    assert all(AB.fullmatch(text) for text in texts)


def test_logprobs_are_told_of_forced_tokens_too(toy):
    response = ask(toy, guided_choice=["ABCD"], logprobs=0)
    (choice,) = response.json()["choices"]
    assert choice["text"] == "ABCD"
    assert "".join(choice["logprobs"]["tokens"]) == "ABCD"


def test_a_chat_answers_in_form(toy):
    response = ask(toy, "/v1/chat/completions", guided_choice=["AAA", "B"])
    assert AB.fullmatch(response.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("nothing", [None, {"type": "text"}])
def test_no_format_is_no_format(toy, nothing):
    response = ask(toy, response_format=nothing, max_tokens=3)
    assert response.json()["choices"][0]["finish_reason"] == "length"


JSON_SCHEMA = {"type": "json_schema"}
TAG = {"begin": "<a>", "schema": {}, "end": "</a>"}


@pytest.mark.parametrize(
    ("asked", "param", "reason"),
    [
        ({"guided_json": {"type": 12}}, "guided_json", "type must be a string"),
        ({"guided_json": {"not": {}}}, "guided_json", 'Unimplemented keys: ["not"]'),
        ({"guided_json": "{"}, "guided_json", "text that is none"),
        ({"guided_json": []}, "guided_json", "dictionary"),
        ({"guided_regex": "(a"}, "guided_regex", "unclosed group"),
        ({"guided_regex": "(?=a)b"}, "guided_regex", "look-around"),
        ({"guided_regex": ""}, "guided_regex", "at least 1"),
        ({"guided_choice": []}, "guided_choice", "at least 1"),
        ({"guided_grammar": "start: nothing"}, "guided_grammar", "unknown name"),
        ({"guided_grammar": "root ::= ("}, "guided_grammar", "notation"),
        (
            {"structured_outputs": {"json": {"uniqueItems": True, "type": "array"}}},
            "structured_outputs.json",
            "uniqueItems",
        ),
        ({"structured_outputs": {"yaml": {}}}, "structured_outputs.yaml", "unknown"),
        ({"response_format": {"type": "xml"}}, "response_format", "'json_object'"),
        ({"response_format": JSON_SCHEMA}, "response_format.json_schema.json_schema", "required"),
        (
            {"response_format": JSON_SCHEMA | {"json_schema": {"name": "", "schema": {}}}},
            "response_format.json_schema.json_schema.name",
            "at least 1",
        ),
        (
            {"response_format": {"type": "structural_tag", "structures": [TAG], "triggers": ["x"]}},
            "response_format.structural_tag",
            "none of the triggers",
        ),
        ({"guided_json": {}, "guided_regex": "a"}, None, "exclude each other"),
        ({"guided_json": {"x-guidance": 5}}, "guided_json", "invalid type: integer `5`"),
        ({"guided_json": {"x-guidance": {"no_such": 5}}}, "guided_json", "no_such"),
        ({"guided_json": {"properties": 5}}, "guided_json", "properties"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(toy, asked, param, reason):
    response = ask(toy, **asked)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == param
    assert reason in error["message"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize("escape", ["\\ud800", "a\\udfffb"])
@pytest.mark.parametrize(
    "asked",
    ['"guided_choice": ["%s"]', '"guided_regex": "%s"', '"guided_json": {"const": "%s"}'],
)
def test_half_a_character_is_never_our_own_error(toy, asked, escape):
    body = f'{{"model": "{MODEL}", "prompt": [1], "max_tokens": 4, {asked % escape}}}'
    response = toy.client.post("/v1/completions", content=body)
    assert response.status_code == 400, response.text


def answers(asked: dict[str, Any], text: str) -> bool:
    """Whether a completion that asks so may have this answer."""
    body = {"model": MODEL, "prompt": "x", **asked}
    held = guided.plain(CompletionRequest.model_validate(body), tiny_tokenizer())
    assert held is not None
    matcher = LLMatcher(tiny_vocabulary(), held.text, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tiny_tokenizer().encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def test_structures_are_held_where_a_trigger_begins_them_and_nowhere_else():
    yes_or_no = {"begin": "[say]", "schema": {"enum": ["yes", "no"]}, "end": "[/say]"}
    number = {"begin": "[say n]", "schema": {"type": "integer"}, "end": ""}
    call = {"begin": "<tool_call>", "schema": {"const": 1}, "end": "</tool_call>"}
    tag = {
        "type": "structural_tag",
        "structures": [yes_or_no, number, call],
        "triggers": ["[say", "<tool_call>"],
    }
    asked = {"response_format": tag}
    assert answers(asked, "nothing to [sa")
    assert answers(asked, 'I [say]"yes"[/say] and [say n]12, <tool_call>1</tool_call>.')
    assert not answers(asked, 'I [say]"maybe"[/say]')
    assert not answers(asked, "I [say so")
    assert not answers(asked, "<tool_call>2</tool_call>")


def test_a_stream_of_what_cannot_be_held_is_refused_before_it_begins(toy):
    response = ask(toy, guided_json={"not": {}}, stream=True)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_grammar"


# --- the demo model


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str = pydantic.Field(max_length=20)
    age: int = pydantic.Field(ge=0, le=150)
    pets: list[Annotated[str, pydantic.Field(max_length=12)]] = pydantic.Field(max_length=2)


@pytest.fixture(scope="module")
def asking(demo: HttpServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{demo.url}/v1", api_key="none", max_retries=0, timeout=120
    ) as connected:
        yield connected


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_client_parses_what_a_real_model_answers_by_a_schema(asking):
    completion = asking.chat.completions.parse(
        model="smollm2-135m-instruct",
        messages=messages("Tell me of Ada, who is 36 and has a cat."),
        response_format=Person,
        temperature=0,
    )
    person = completion.choices[0].message.parsed
    assert person is not None
    assert person.name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_model_answers_with_an_object(asking):
    demanded: Any = {"type": "json_object"}
    completion = asking.chat.completions.create(
        model="smollm2-135m-instruct",
        messages=messages("Give me a JSON object with the keys a and b."),
        response_format=demanded,
        max_tokens=200,
    )
    choice = completion.choices[0]
    content = choice.message.content or ""
    assert re.match(r'\{("|\})', content), "an object, as json.dumps writes it"
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(content), dict)


SCHEMA: Any = {
    "type": "object",
    "properties": {"kind": {"enum": ["cat", "dog"]}, "legs": {"type": "integer", "maximum": 4}},
    "required": ["kind", "legs"],
    "additionalProperties": False,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_guided_answer_is_the_same_alone_and_among_others(asking):
    def asked(number: int) -> str | None:
        completion = asking.chat.completions.create(
            model="smollm2-135m-instruct",
            messages=messages(f"What has {number} legs?"),
            extra_body={"guided_json": SCHEMA},
            temperature=1.5,
            seed=number,
        )
        return completion.choices[0].message.content

    alone = [asked(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(asked, range(4)))
    assert together == alone
    for text in alone:
        jsonschema.validate(json.loads(text or ""), SCHEMA)
