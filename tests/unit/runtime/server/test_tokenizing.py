from typing import Any

import pytest
from support.http_server import HttpServer


def _post(server: HttpServer, path: str, **body: Any) -> dict[str, Any]:
    answer = server.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("text", ["Hello there", "", "naïve 漢字 🙂", "<|im_start|>"])
def test_a_text_comes_back_from_its_tokens(server: HttpServer, text: str):
    found = _post(server, "/tokenize", prompt=text, add_special_tokens=False)
    assert found["count"] == len(found["tokens"])
    assert _post(server, "/detokenize", tokens=found["tokens"]) == {"prompt": text}


def test_messages_have_the_tokens_that_a_chat_completion_counts(server: HttpServer):
    messages = [{"role": "user", "content": "Hello"}]
    name = server.client.get("/v1/models").json()["data"][0]["id"]
    body = {"model": name, "messages": messages, "max_tokens": 1}
    usage = server.client.post("/v1/chat/completions", json=body).json()["usage"]
    found = _post(server, "/tokenize", model=name, messages=messages)
    assert found["count"] == usage["prompt_tokens"]
    shorter = _post(server, "/tokenize", messages=messages, add_generation_prompt=False)
    assert found["tokens"][: shorter["count"]] == shorter["tokens"]
    assert shorter["count"] < found["count"]


def test_a_prompt_has_the_tokens_that_a_completion_counts(server: HttpServer):
    name = server.client.get("/v1/models").json()["data"][0]["id"]
    body = {"model": name, "prompt": "Hello there", "max_tokens": 1}
    usage = server.client.post("/v1/completions", json=body).json()["usage"]
    assert _post(server, "/tokenize", prompt="Hello there")["count"] == usage["prompt_tokens"]


def test_token_texts_are_told_when_asked_for(server: HttpServer):
    found = _post(server, "/tokenize", prompt="Hello there", return_token_strs=True)
    assert "".join(found["token_strs"]) == "Hello there"
    assert "token_strs" not in _post(server, "/tokenize", prompt="Hello there")


def test_special_tokens_are_told_unless_they_are_skipped(server: HttpServer):
    ids = _post(server, "/tokenize", prompt="<|im_start|>Hi")["tokens"]
    assert _post(server, "/detokenize", tokens=ids)["prompt"] == "<|im_start|>Hi"
    skipped = _post(server, "/detokenize", tokens=ids, skip_special_tokens=True)
    assert skipped["prompt"] == "Hi"


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 400, None),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, 400, None),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": True}, 400, None),
        ("/tokenize", {"prompt": 3}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "model": "another"}, 404, "model"),
        ("/detokenize", {"tokens": [1], "model": "another"}, 404, "model"),
        ("/detokenize", {"tokens": [10**9]}, 400, "tokens"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [1.5]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [1], "extra": 1}, 400, "extra"),
    ],
)
def test_what_is_wrong_is_named(
    server: HttpServer, path: str, body: dict[str, Any], status: int, param: str | None
):
    answer = server.client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
