"""OpenAI's client for Python."""

import math

from asking import MESSAGES, MODEL, PERSON, PERSON_IN_WORDS, QUESTION, TOOL, URL, check_person, tell
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)
CHAT = {"model": MODEL, "messages": MESSAGES, "max_completion_tokens": 24, "temperature": 0.0}


def chat():
    answer = client.chat.completions.create(**CHAT)
    assert "Paris" in answer.choices[0].message.content, answer
    assert answer.usage.completion_tokens > 0


def stream():
    whole = client.chat.completions.create(**CHAT).choices[0].message.content
    options = {"include_usage": True}
    *chunks, last = client.chat.completions.create(stream=True, stream_options=options, **CHAT)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert last.usage.completion_tokens > 0


def tools():
    choice = {"type": "function", "function": {"name": "note"}}
    asked = {**CHAT, "messages": PERSON_IN_WORDS, "max_completion_tokens": 128}
    answer = client.chat.completions.create(tools=[TOOL], tool_choice=choice, **asked)
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "note", call
    check_person(call.function.arguments)


def json_schema():
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    asked = {**CHAT, "messages": PERSON_IN_WORDS, "max_completion_tokens": 128}
    answer = client.chat.completions.create(response_format=schema, **asked)
    check_person(answer.choices[0].message.content)


def logprobs():
    answer = client.chat.completions.create(logprobs=True, top_logprobs=3, **CHAT)
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        assert len(entry.top_logprobs) == 3
        assert math.isclose(entry.logprob, entry.top_logprobs[0].logprob, abs_tol=1e-4), entry


def completions():
    asked = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 8}
    whole = client.completions.create(temperature=0.0, **asked).choices[0].text
    chunks = client.completions.create(temperature=0.0, stream=True, **asked)
    assert "Paris" in whole, whole
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole


def responses():
    asked = {"model": MODEL, "input": QUESTION, "max_output_tokens": 24, "temperature": 0.0}
    whole = client.responses.create(**asked)
    assert "Paris" in whole.output_text, whole
    events = client.responses.create(stream=True, **asked)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text


def embeddings():
    texts = [QUESTION, "A goat eats grass.", QUESTION]  # the client asks for base64 by itself
    given = client.embeddings.create(model=MODEL, input=texts).data
    first, other, again = (entry.embedding for entry in given)
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-4)
    assert math.dist(first, again) < 1e-3
    assert math.dist(first, other) > 0.1
    floats = client.embeddings.create(model=MODEL, input=QUESTION, encoding_format="float")
    assert math.dist(first, floats.data[0].embedding) < 1e-3


tell("openai", chat, stream, tools, json_schema, logprobs, completions, responses, embeddings)
