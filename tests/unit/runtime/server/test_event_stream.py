"""Streams of named events that are silent for a while, or break off."""

from typing import Any

import anthropic
import pytest
from support import echo_chats
from support.http_server import HttpServer, echo_engine
from support.tiny import FOLDER, tiny_tokenizer
from support.toy_engine import SLOW, toy_engine

from radixloom_runtime.server import event_stream


def _asked(text: str, **more: Any) -> dict[str, Any]:
    return {"max_tokens": 90, "messages": [{"role": "user", "content": text}], **more}


def test_a_silent_stream_is_kept_open_by_pings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_stream, "SILENT_SECONDS", 0.02)
    with HttpServer(echo_engine("--step-seconds", "0.1")) as server:
        body = _asked("x", model=FOLDER.name, stream=True) | {"max_tokens": 3}
        answer = server.client.post("/v1/messages", json=body)
    frames = answer.text.split("\n\n")
    assert frames.count('event: ping\ndata: {"type":"ping"}') > 2
    assert frames[-2] == 'event: message_stop\ndata: {"type":"message_stop"}'


def test_a_stream_that_breaks_off_ends_with_the_reason(tmp_path):
    folder = echo_chats.write_folder(tmp_path / "toy", "{{ messages[0].content }}")
    slow = tiny_tokenizer().decode([SLOW], skip_special_tokens=True)
    with (
        HttpServer(toy_engine, model=folder, request_timeout=0.3) as server,
        anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError, match=r"not complete after 0\.3 s") as caught,
        client.messages.stream(**_asked(slow, model="toy")) as stream,
    ):
        stream.until_done()
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "timeout_error"
