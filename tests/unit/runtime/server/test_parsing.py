import pytest
from support.http_server import HttpServer

PATHS = [
    *("/v1/chat/completions", "/v1/completions", "/pin_prefix", "/unpin_prefix"),
    *("/tokenize", "/detokenize"),
]
BODIES = {
    "nothing": b"",
    "half": b'{"model": ',
    "no object": b"[1, 2]",
    "NaN": b'{"model": "tiny", "temperature": NaN}',
    "infinite": b'{"temperature": 1e999}',
    "half a surrogate": b'{"model": "\\ud800", "prompt": "\\udfff and more"}',
    "a surrogate in UTF-8": b'{"prompt": "\xed\xa0\x80"}',
    "no UTF-8": b'{"prompt": "\xff\xfe"}',
    "deep": b'{"prompt": ' + b"[" * 100_000,
    "deep and whole": b'{"messages": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "long number": b'{"max_tokens": ' + b"9" * 5000 + b"}",
    "twice": b'{"prompt": 1, "prompt": {}}',
    "null": b'{"model": null, "prompt": null, "messages": null, "tokens": null, "id": null}',
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_hostile_body_is_a_400_in_openais_form(server: HttpServer, path: str, body: bytes):
    answer = server.client.post(path, content=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 1000
