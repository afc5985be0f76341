"""A real model's answer through Anthropic's client."""

import anthropic
import pytest
from support.demo_server import MODEL
from support.http_server import HttpServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_stream_tells_the_same_words_as_the_whole_answer(demo: HttpServer):
    params = {
        "model": MODEL,
        "max_tokens": 24,
        "extra_body": {"temperature": 0.0},  # the client has it no more, the API does
        "system": "You answer in one sentence.",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }
    with anthropic.Anthropic(base_url=demo.url, api_key="none", max_retries=0) as client:
        whole = client.messages.create(**params)
        with client.messages.stream(**params) as stream:
            text = "".join(stream.text_stream)
            told = stream.get_final_message()
        counted = client.messages.count_tokens(
            model=MODEL, system=params["system"], messages=params["messages"]
        )
    assert "Paris" in text
    assert [block.text for block in whole.content if block.type == "text"] == [text]
    assert told.stop_reason == whole.stop_reason
    usage = told.usage
    assert usage.cache_read_input_tokens
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens
