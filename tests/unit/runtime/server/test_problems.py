"""Every way in which a request can be wrong, and what the client is told."""

import re
from typing import Any

import httpx
import openai
import pytest
from support.echo_engine import FORBIDDEN_ID, MAX_MODEL_LEN, VOCAB_SIZE
from support.http_server import HttpServer

MODEL = "tiny_tokenizer"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HELLO = [{"role": "user", "content": "hello"}]
TOO_LONG = [5] * (MAX_MODEL_LEN + 44)


def _post(server: HttpServer, path: str, body: dict[str, Any]) -> httpx.Response:
    content = {"messages": HELLO} if path == CHAT else {"prompt": "a"}
    return server.client.post(path, json={"model": MODEL} | content | body)


def _error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        (CHAT, {"temprature": 1}, "temprature", "unknown parameter: temprature"),
        (CHAT, {"tools": [{"type": "function"}]}, "tools[0].function", "missing required"),
        (CHAT, {"store": True}, "store", "store is not supported"),
        (CHAT, {"echo": True}, "echo", "unknown parameter: echo"),
        (COMPLETIONS, {"suffix": "x"}, "suffix", "suffix is not supported"),
        (COMPLETIONS, {"best_of": 2, "n": 3}, None, "must not be less than n 3"),
        (COMPLETIONS, {"best_of": 2, "stream": True}, None, "only allowed when stream is false"),
        (COMPLETIONS, {"messages": HELLO}, "messages", "unknown parameter"),
        (CHAT, {"temperature": "hot"}, "temperature", "valid number, found 'hot'"),
        (CHAT, {"temperature": 2.5}, "temperature", "less than or equal to 2, found 2.5"),
        (CHAT, {"temperature": True}, "temperature", "valid number"),
        (CHAT, {"top_p": 1.1}, "top_p", "less than or equal to 1"),
        (CHAT, {"top_p": -0.1}, "top_p", "greater than or equal to 0"),
        (CHAT, {"top_k": -2}, "top_k", "greater than or equal to -1"),
        (CHAT, {"min_p": 2}, "min_p", "less than or equal to 1"),
        (CHAT, {"seed": 1.5}, "seed", "valid integer"),
        (CHAT, {"n": 0}, "n", "greater than or equal to 1"),
        (CHAT, {"n": 1000}, "n", "less than or equal to 128"),
        (CHAT, {"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        (CHAT, {"max_tokens": "5"}, "max_tokens", "valid integer, found '5'"),
        (CHAT, {"max_tokens": 5, "max_completion_tokens": 6}, None, "must not differ"),
        (CHAT, {"stop": ""}, "stop[0]", "at least 1 character"),
        (CHAT, {"stop": ["x"] * 17}, "stop", "at most 16 items"),
        (CHAT, {"stop_token_ids": [VOCAB_SIZE]}, "stop_token_ids", "vocabulary's size 512"),
        (CHAT, {"presence_penalty": 3}, "presence_penalty", "less than or equal to 2"),
        (CHAT, {"frequency_penalty": -3}, "frequency_penalty", "greater than or equal to -2"),
        (CHAT, {"repetition_penalty": 0}, "repetition_penalty", "greater than 0"),
        (CHAT, {"logit_bias": {"x": 1}}, "logit_bias", "keys must be token ids, found 'x'"),
        (CHAT, {"logit_bias": {"5": 101}}, "logit_bias[5]", "less than or equal to 100"),
        (CHAT, {"logit_bias": {"600": 1}}, "logit_bias", "token id 600"),
        (CHAT, {"min_tokens": 9, "max_tokens": 8}, "min_tokens", "more than the 8 tokens"),
        (CHAT, {"ignore_eos": 1}, "ignore_eos", "valid boolean"),
        (CHAT, {"logprobs": 5}, "logprobs", "valid boolean"),
        (CHAT, {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        (CHAT, {"top_logprobs": 2}, None, "only allowed when logprobs is true"),
        (CHAT, {"stream_options": {"include_usage": True}}, None, "only allowed when stream"),
        (
            CHAT,
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "not supported",
        ),
        (CHAT, {"messages": []}, "messages", "at least 1 item"),
        (CHAT, {"messages": "hi"}, "messages", "valid list"),
        (CHAT, {"messages": ["hi"]}, "messages[0]", "valid dictionary"),
        (CHAT, {"messages": [{"role": "function", "content": ""}]}, "messages[0].role", "'tool'"),
        (
            CHAT,
            {"messages": [{"role": "tool", "content": ""}]},
            "messages[0]",
            "needs tool_call_id",
        ),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0]", "needs content"),
        (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role", "missing required"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "part 0 is 'image_url'",
        ),
        (
            CHAT,
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
            "messages[0].tool_calls[0].id",
            "missing required",
        ),
        (COMPLETIONS, {"prompt": ""}, "prompt", "prompt is empty"),
        (COMPLETIONS, {"prompt": []}, "prompt", "not empty"),
        (COMPLETIONS, {"prompt": ["a", 1]}, "prompt", "item 1 does not fit"),
        (COMPLETIONS, {"prompt": [[1], "a"]}, "prompt", "item 1 does not fit"),
        (COMPLETIONS, {"prompt": [-1]}, "prompt", "item 0 does not fit"),
        (COMPLETIONS, {"prompt": [VOCAB_SIZE]}, "prompt", "token id 512"),
        (COMPLETIONS, {"prompt": None}, "prompt", "must be a string"),
        (COMPLETIONS, {"max_tokens": 0}, None, "only allowed when echo is true"),
        (COMPLETIONS, {"logprobs": True}, "logprobs", "valid integer"),
        (COMPLETIONS, {"logprobs": 21}, "logprobs", "less than or equal to 20"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(
    server: HttpServer, path: str, body: dict[str, Any], param: str | None, message: str
):
    response = _post(server, path, body)
    assert response.status_code == 400
    error = _error(response)
    assert error["param"] == param
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_null_means_the_default_for_every_parameter(server: HttpServer, path: str):
    schema = server.client.get("/openapi.json").json()
    body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    nulls = dict.fromkeys(set(body["properties"]) - set(body["required"]))
    assert len(nulls) > 20
    response = _post(server, path, nulls | {"max_tokens": 1})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("name", "path"), [("model", CHAT), ("messages", CHAT), ("prompt", COMPLETIONS)]
)
def test_a_missing_parameter_is_named(server: HttpServer, name: str, path: str):
    body = {"model": MODEL, "messages": HELLO, "prompt": "a"}
    kept = {key: body[key] for key in body if key != name and (key == "model" or name == "model")}
    kept.pop("prompt", None)
    error = _error(server.client.post(path, json=kept))
    assert (error["param"], error["code"]) == (name, "missing_required_parameter")


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff\xfe", b'{"model": NaN}', b'"text"'])
def test_what_is_no_json_object_is_refused(server: HttpServer, content: bytes):
    response = server.client.post(CHAT, content=content)
    assert response.status_code == 400
    assert _error(response)["code"] == "invalid_json"


def test_a_body_larger_than_any_prompt_is_refused(server: HttpServer):
    response = server.client.post(CHAT, content=b" " * (32 * 2**20 + 1))
    assert response.status_code == 413
    assert _error(response)["code"] == "body_too_large"


def test_another_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError, match=r"'gpt-9' is not served here") as caught:
        client.completions.create(model="gpt-9", prompt="a")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_prompt_over_the_context_is_refused_with_both_numbers(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt=TOO_LONG)
    assert caught.value.code == "context_length_exceeded"
    numbers = set(map(int, re.findall(r"\d+", caught.value.message)))
    assert {MAX_MODEL_LEN, len(TOO_LONG)} <= numbers


def test_prompt_and_answer_together_must_fit_the_context(server: HttpServer):
    fits = _post(server, COMPLETIONS, {"prompt": [5] * 250, "max_tokens": 6})
    assert fits.status_code == 200
    over = _post(server, COMPLETIONS, {"prompt": [5] * 250, "max_tokens": 7})
    assert _error(over)["code"] == "context_length_exceeded"
    assert "257 were requested (250 in the prompt, 7 to generate)" in _error(over)["message"]


def test_a_full_prompt_can_still_be_judged(server: HttpServer):
    body = {"prompt": [5] * MAX_MODEL_LEN, "max_tokens": 0, "echo": True}
    assert _post(server, COMPLETIONS, body).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_engine_can_never_run_is_a_400(server: HttpServer, stream: bool):
    response = _post(server, COMPLETIONS, {"prompt": [FORBIDDEN_ID], "stream": stream})
    assert response.status_code == 400
    assert _error(response)["message"] == "needs more pages than there are"


@pytest.mark.parametrize("stream", [True, False])
def test_a_full_queue_is_a_429_that_says_when_to_come_again(server: HttpServer, stream: bool):
    response = _post(
        server, COMPLETIONS, {"n": 100, "max_tokens": 250, "stream": stream, "ignore_eos": True}
    )
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    error = _error(response)
    assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
    server.poll("/metrics", lambda response: "radixloom:num_running_reqs 0.0" in response.text)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("GET", CHAT, 405)])
def test_an_unknown_route_answers_in_the_same_form(
    server: HttpServer, method: str, path: str, status: int
):
    response = server.client.request(method, path)
    assert response.status_code == status
    assert path in _error(response)["message"]


def test_a_body_needs_no_content_type(server: HttpServer):
    body = b'{"model": "tiny_tokenizer", "prompt": "a", "max_tokens": 1}'
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert server.client.post(COMPLETIONS, content=body, headers=headers).status_code == 200


def test_a_request_keeps_the_id_that_it_came_with(server: HttpServer):
    response = server.client.get("/healthz", headers={"x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("given", ["", "two words", "x" * 200])
def test_an_unfit_request_id_is_replaced(server: HttpServer, given: str):
    response = server.client.get("/healthz", headers={"x-request-id": given})
    assert re.fullmatch(r"req-[0-9a-f]{24}", response.headers["x-request-id"])
