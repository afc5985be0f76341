"""`/generate` and its family; the echo engine answers with the prompt's own tokens."""

import itertools
import json
from typing import Any

import pytest
from support.echo_engine import MAX_MODEL_LEN
from support.http_server import HttpServer
from support.tiny import ids_of

from radixloom_runtime.server.schema_native import DEFAULT_MAX_NEW_TOKENS

MODEL = "tiny_tokenizer"
ABC = ids_of("a b c")


def post(server: HttpServer, **body: Any) -> Any:
    answer = server.client.post("/generate", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sampling(max_new_tokens: int = len(ABC), **more: Any) -> dict[str, Any]:
    return {"temperature": 0.0, "max_new_tokens": max_new_tokens, **more}


def events(server: HttpServer, **body: Any) -> list[dict[str, Any]]:
    body["stream"] = True
    with server.client.stream("POST", "/generate", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("prompt", [{"text": "a b c"}, {"input_ids": ABC}], ids=str)
def test_an_answer_has_text_ids_and_counts(server: HttpServer, prompt: dict[str, Any]):
    found = post(server, **prompt, sampling_params=sampling(), rid="mine")
    assert (found["text"], found["output_ids"]) == ("a b c", ABC)
    meta = found["meta_info"]
    assert meta["id"] == "mine"
    assert meta["finish_reason"] == {"type": "length", "length": len(ABC)}
    assert meta["prompt_tokens"] == meta["completion_tokens"] == len(ABC)
    assert meta["cached_tokens"] == 0
    assert meta["e2e_latency"] > 0
    assert "index" not in found


@pytest.mark.parametrize(
    "prompts", [{"text": ["a b c", "b"]}, {"input_ids": [ABC, ids_of("b")]}], ids=str
)
def test_a_list_of_prompts_has_a_list_of_answers(server: HttpServer, prompts: dict[str, Any]):
    first, second = post(server, **prompts, sampling_params=sampling())
    assert first["text"] == "a b c"
    assert second["meta_info"]["prompt_tokens"] == len(ids_of("b"))
    assert first["meta_info"]["id"] != second["meta_info"]["id"]


def test_several_answers_to_one_prompt_are_a_list_too(server: HttpServer):
    assert len(post(server, text="a b c", sampling_params=sampling(n=3))) == 3
    assert len(post(server, text=["a"], sampling_params=sampling())) == 1


def test_the_default_is_128_tokens(server: HttpServer):
    found = post(server, text="a")
    assert found["meta_info"]["completion_tokens"] == DEFAULT_MAX_NEW_TOKENS
    assert post(server, text="a", sampling_params=None)["text"] == found["text"]


def test_each_event_of_a_stream_has_all_of_the_text_so_far(server: HttpServer):
    found = events(server, text="a b c", sampling_params=sampling())
    texts = [event["text"] for event in found]
    assert texts[-1] == "a b c"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    counts = [event["meta_info"]["completion_tokens"] for event in found]
    assert counts == sorted(counts)
    assert counts[-1] == len(ABC)
    reasons = [event["meta_info"]["finish_reason"] for event in found]
    assert reasons[:-1] == [None] * (len(found) - 1)
    assert reasons[-1]["type"] == "length"


def test_events_of_several_answers_say_whose_they_are(server: HttpServer):
    found = events(server, text=["a b c", "b"], sampling_params=sampling())
    last = {event["index"]: event for event in found}
    assert last[0]["text"] == "a b c"
    assert last[1]["output_ids"] == [*ids_of("b")] * len(ABC)


def test_a_stop_ends_the_answer_and_is_cut_out(server: HttpServer):
    found = post(server, text="a b c", sampling_params=sampling(64, stop="c"))
    assert found["text"] == "a b "
    assert found["meta_info"]["finish_reason"] == {"type": "stop"}


def test_logprobs_are_told_of_output_and_prompt(server: HttpServer):
    body = {"text": "a b c", "sampling_params": sampling(), "return_logprob": True}
    meta = post(server, **body)["meta_info"]
    assert [entry[1] for entry in meta["output_token_logprobs"]] == ABC
    assert all(entry[2] is None for entry in meta["output_token_logprobs"])
    assert not meta.keys() & {"input_token_logprobs", "output_top_logprobs"}

    more = {"logprob_start_len": 0, "top_logprobs_num": 2, "return_text_in_logprobs": True}
    meta = post(server, **body, **more)["meta_info"]
    assert [entry[1] for entry in meta["input_token_logprobs"]] == ABC
    assert meta["input_token_logprobs"][0][0] is None
    assert "".join(entry[2] for entry in meta["output_token_logprobs"]) == "a b c"
    assert all(len(top) == 2 for top in meta["output_top_logprobs"])
    assert meta["input_top_logprobs"][0] is None

    later = post(server, **body, logprob_start_len=2)["meta_info"]
    assert later["input_token_logprobs"] == [
        [entry[0], entry[1], None] for entry in meta["input_token_logprobs"][2:]
    ]


def test_a_prompt_can_be_judged_without_an_answer(server: HttpServer):
    body = {"return_logprob": True, "logprob_start_len": 0}
    found = post(server, text="a b c", sampling_params=sampling(0), **body)
    assert (found["text"], found["meta_info"]["completion_tokens"]) == ("", 0)
    assert len(found["meta_info"]["input_token_logprobs"]) == len(ABC)


def test_what_asks_for_nothing_is_taken(server: HttpServer):
    nothing = {"lora_path": None, "image_data": None, "return_hidden_states": False}
    assert post(server, text="a b c", sampling_params=sampling(), **nothing)["text"] == "a b c"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"text": "a", "input_ids": [1]}, None),
        ({"text": 3}, "text"),
        ({"text": []}, "text"),
        ({"text": ""}, "text"),
        ({"input_ids": []}, "input_ids"),
        ({"input_ids": [[]]}, "input_ids"),
        ({"input_ids": [10**6]}, "input_ids"),
        ({"text": "a", "sampling_params": {"max_tokens": 3}}, "sampling_params.max_tokens"),
        ({"text": "a", "sampling_params": {"temperature": -1}}, "sampling_params.temperature"),
        ({"text": "a", "sampling_params": {"regx": "a+"}}, "sampling_params.regx"),
        ({"text": "a", "sampling_params": {"max_new_tokens": 0}}, None),
        (
            {"text": "a", "sampling_params": {"max_new_tokens": 2, "min_new_tokens": 3}},
            "sampling_params.min_new_tokens",
        ),
        (
            {"text": "a", "sampling_params": {"stop_token_ids": [10**6]}},
            "sampling_params.stop_token_ids",
        ),
        ({"text": "a", "sampling_params": {"max_new_tokens": MAX_MODEL_LEN}}, "text"),
        ({"text": "a", "top_logprobs_num": 3}, None),
        ({"text": "a", "audio_data": "mine"}, "audio_data"),
        ({"text": "a", "model": MODEL}, "model"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(server: HttpServer, body: dict[str, Any], param: str | None):
    answer = server.client.post("/generate", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_the_server_describes_itself(server: HttpServer):
    model = server.client.get("/get_model_info").json()
    assert model == {"model_path": MODEL, "tokenizer_path": MODEL, "is_generation": True}
    info = server.client.get("/get_server_info").json()
    assert info["context_length"] == MAX_MODEL_LEN
    assert info["served_model_name"] == MODEL
    assert info["internal_states"] == [{}]
    (load,) = server.client.get("/get_load").json()
    assert load.keys() == {"dp_rank", "num_reqs", "num_waiting_reqs", "num_tokens"}


@pytest.mark.parametrize("prompt", [{"text": "a b c"}, {"input_ids": ABC}], ids=str)
def test_the_load_of_sgl_jaxs_own_benchmark_is_answered_as_it_reads_answers(
    server: HttpServer, prompt: dict[str, Any]
):
    found = events(
        server,
        **prompt,
        sampling_params=sampling(ignore_eos=True),
        lora_path="",
        return_logprob=True,
        logprob_start_len=-1,
    )
    counts = [event["meta_info"]["completion_tokens"] for event in found if event["text"]]
    assert counts == sorted(counts)
    assert counts[-1] == len(ABC)
    assert all("cached_tokens" in event["meta_info"] for event in found)
    assert server.client.get("/get_server_info").is_success
