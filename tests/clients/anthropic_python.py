"""Anthropic's client for Python."""

from anthropic import Anthropic
from asking import MESSAGES, MODEL, PERSON, PERSON_IN_WORDS, URL, tell

client = Anthropic(base_url=URL, api_key="none", max_retries=0, timeout=120)
CHAT = {"model": MODEL, "messages": MESSAGES, "max_tokens": 24, "extra_body": {"temperature": 0.0}}


def chat():
    answer = client.messages.create(**CHAT)
    assert "Paris" in answer.content[0].text, answer
    assert answer.usage.output_tokens > 0


def stream():
    whole = client.messages.create(**CHAT).content[0].text
    with client.messages.stream(**CHAT) as events:
        assert "".join(events.text_stream) == whole


def tools():
    asked = {**CHAT, "messages": PERSON_IN_WORDS, "max_tokens": 128}
    tool = {"name": "note", "input_schema": PERSON}
    choice = {"type": "tool", "name": "note"}
    [call] = client.messages.create(tools=[tool], tool_choice=choice, **asked).content
    assert call.name == "note", call
    assert call.input["mood"] in ("happy", "sad"), call


def count_tokens():
    told = client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    usage = client.messages.create(**CHAT).usage
    assert told.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


tell("anthropic", chat, stream, tools, count_tokens)
