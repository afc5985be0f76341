"""The echo engine answers with the prompt's own tokens, again and again."""

from types import SimpleNamespace
from typing import Any

import openai
import pytest
from support.echo_engine import MAX_MODEL_LEN
from support.http_server import HttpServer
from support.tiny import IM_END, ids_of

from radixloom_runtime.server.completions import best
from radixloom_runtime.wire.messages import TokenLogprobs

MODEL = "tiny_tokenizer"
ABC = ids_of("a b c")


def _post(server: HttpServer, **body: Any) -> dict[str, Any]:
    response = server.client.post("/v1/completions", json={"model": MODEL} | body)
    assert response.status_code == 200, response.text
    return response.json()


def _choice(server: HttpServer, **body: Any) -> dict[str, Any]:
    [choice] = _post(server, **body)["choices"]
    return choice


def test_an_answer_has_all_that_the_client_library_reads(client: openai.OpenAI):
    answer = client.completions.create(model=MODEL, prompt="a b c", max_tokens=len(ABC))
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == ("a b c", "length", None)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == answer.usage.completion_tokens == len(ABC)


def test_a_stream_tells_the_same_answer_in_pieces(client: openai.OpenAI):
    chunks = list(
        client.completions.create(model=MODEL, prompt="a b c", max_tokens=len(ABC), stream=True)
    )
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a b c"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_sixteen_tokens_are_the_default(server: HttpServer):
    assert _post(server, prompt="a")["usage"]["completion_tokens"] == 16


def test_the_default_gives_way_to_the_context(server: HttpServer):
    answer = _post(server, prompt=[5] * (MAX_MODEL_LEN - 3))
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a b c", ["a b c"]),
        (ABC, ["a b c"]),
        (["a b c", "b b c"], ["a b c", "b b c"]),
        ([ABC, ids_of("b b c")], ["a b c", "b b c"]),
    ],
)
def test_prompts_come_in_four_forms(server: HttpServer, prompt: Any, texts: list[str]):
    answer = _post(server, prompt=prompt, max_tokens=len(ABC))
    assert [choice["text"] for choice in answer["choices"]] == texts
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(texts)))
    assert answer["usage"]["prompt_tokens"] == len(ABC) * len(texts)


def test_choices_of_several_prompts_are_counted_through(server: HttpServer):
    answer = _post(server, prompt=["a", "b"], n=2, max_tokens=1)
    assert [(c["index"], c["text"]) for c in answer["choices"]] == [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]
    assert answer["usage"]["prompt_tokens"] == 2


def test_cached_tokens_are_told(server: HttpServer):
    answer = _post(server, prompt=[5] * 40, max_tokens=1)
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 32}


def test_echo_begins_the_text_with_the_prompt(server: HttpServer):
    choice = _choice(server, prompt="a b c", max_tokens=1, echo=True)
    assert choice["text"] == "a b ca"
    assert choice["logprobs"] is None


def test_echo_of_ids_is_their_text(server: HttpServer):
    assert _choice(server, prompt=ABC, max_tokens=0, echo=True)["text"] == "a b c"


def test_echo_with_logprobs_judges_the_prompt(server: HttpServer):
    choice = _choice(server, prompt="a b c", max_tokens=2, echo=True, logprobs=1)
    logprobs = choice["logprobs"]
    ids = [*ABC, *ABC[:2]]
    assert logprobs["tokens"] == ["a", " b", " c", "a", " b"]
    assert logprobs["token_logprobs"] == [None, *(-token_id / 8 for token_id in ids[1:])]
    assert logprobs["text_offset"] == [0, 1, 3, 5, 6]
    assert logprobs["top_logprobs"][0] is None
    assert logprobs["top_logprobs"][1] == {"!": 0, " b": -ABC[1] / 8}
    assert choice["text"] == "a b ca b"


def test_a_stream_echoes_the_prompt_first(client: openai.OpenAI):
    chunks = list(
        client.completions.create(
            model=MODEL, prompt="a b c", max_tokens=2, echo=True, logprobs=0, stream=True
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a b ca b"
    logprobs = [chunk.choices[0].logprobs for chunk in chunks]
    assert [offset for each in logprobs if each for offset in each.text_offset or ()] == [
        0,
        1,
        3,
        5,
        6,
    ]


@pytest.mark.parametrize("logprobs", [None, 0, 3])
def test_a_prompt_can_be_judged_without_generating(server: HttpServer, logprobs: int | None):
    answer = _post(server, prompt="a b c", max_tokens=0, echo=True, logprobs=logprobs)
    [choice] = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("a b c", "length")
    assert answer["usage"]["completion_tokens"] == 0
    if logprobs is not None:
        assert len(choice["logprobs"]["tokens"]) == len(ABC)
        assert len(choice["logprobs"]["top_logprobs"][1]) == max(1, logprobs + 1)


def test_pieces_of_a_character_are_named_by_their_bytes(server: HttpServer):
    ids = ids_of("🦉")
    choice = _choice(server, prompt=ids, max_tokens=len(ids), logprobs=0)
    assert choice["text"] == "🦉"
    assert choice["logprobs"]["tokens"][0] == "bytes:\\xf0"
    assert choice["logprobs"]["text_offset"] == [0] * len(ids)


def test_token_ids_come_when_asked_for(server: HttpServer):
    choice = _choice(server, prompt="a b c", max_tokens=2, return_token_ids=True)
    assert (choice["prompt_token_ids"], choice["token_ids"]) == (ABC, ABC[:2])


def test_token_ids_stream_in_pieces(client: openai.OpenAI):
    chunks = list(
        client.completions.create(
            model=MODEL,
            prompt="a b c",
            max_tokens=3,
            stream=True,
            extra_body={"return_token_ids": True},
        )
    )
    extras = [chunk.choices[0].model_extra or {} for chunk in chunks]
    assert [ids for extra in extras for ids in extra["token_ids"]] == ABC[:3]
    assert [extra.get("prompt_token_ids") for extra in extras] == [ABC, None, None]


def test_the_end_of_sequence_ends_unless_ignored(server: HttpServer):
    prompt = [*ABC, IM_END]
    ended = _choice(server, prompt=prompt, max_tokens=6)
    assert (ended["text"], ended["finish_reason"]) == ("a b c", "stop")
    went_on = _choice(server, prompt=prompt, max_tokens=6, ignore_eos=True)
    assert (went_on["text"], went_on["finish_reason"]) == ("a b ca b", "length")


def test_stop_strings_wait_for_min_tokens(server: HttpServer):
    assert _choice(server, prompt="a b c", stop=" b")["text"] == "a"
    assert _choice(server, prompt="a b c", stop=" b", min_tokens=4)["text"] == "a b ca"


def test_a_stop_string_leaves_nothing_in_the_engine(server: HttpServer):
    _choice(server, prompt="a b c", stop=" b", max_tokens=200)
    server.poll("/metrics", lambda response: "radixloom:num_running_reqs 0.0" in response.text)


def test_the_best_of_several_are_told_and_all_are_counted(server: HttpServer):
    answer = _post(server, prompt=["a b", "c"], max_tokens=2, n=2, best_of=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["completion_tokens"] == 2 * 3 * 2
    assert {str(choice["logprobs"]) for choice in answer["choices"]} == {"None"}


def test_the_best_are_those_whose_tokens_are_the_likeliest_on_average():
    def answer(name: str, *logprobs: float) -> Any:
        entries = [TokenLogprobs(0, logprob, [], []) for logprob in logprobs]
        return SimpleNamespace(name=name, text=SimpleNamespace(logprobs=entries))

    answers = [answer("a", -1, -3), answer("b", -1), answer("c", -2, -2, -1)]
    others = [answer("d", -9), answer("e", -8), answer("f", -7)]
    kept = best([*answers, *others], wanted=2, generated=3)
    assert [each.name for each in kept] == ["b", "c", "f", "e"]
