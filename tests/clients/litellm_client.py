"""LiteLLM, by OpenAI's chats, OpenAI's Responses and Anthropic's messages."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it looks for prices on the internet

import litellm
from asking import (
    MESSAGES,
    MODEL,
    PERSON,
    PERSON_IN_WORDS,
    QUESTION,
    TOOL,
    URL,
    check_person,
    tell,
)

OPENAI = {"api_base": f"{URL}/v1", "api_key": "none", "temperature": 0.0, "max_tokens": 24}


def answer_to(messages, **more):
    return litellm.completion(f"openai/{MODEL}", messages, **{**OPENAI, **more}).choices[0]


def chat():
    assert "Paris" in answer_to(MESSAGES).message.content


def stream():
    chunks = litellm.completion(f"openai/{MODEL}", MESSAGES, stream=True, **OPENAI)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert streamed == answer_to(MESSAGES).message.content


def tools():
    choice = {"type": "function", "function": {"name": "note"}}
    answer = answer_to(PERSON_IN_WORDS, tools=[TOOL], tool_choice=choice, max_tokens=128)
    [call] = answer.message.tool_calls
    check_person(call.function.arguments)


def json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    answer = answer_to(PERSON_IN_WORDS, response_format=form, max_tokens=128)
    check_person(answer.message.content)


def logprobs():
    assert answer_to(MESSAGES, logprobs=True, top_logprobs=2).logprobs.content


def responses():
    given = {name: value for name, value in OPENAI.items() if name != "max_tokens"}
    answer = litellm.responses(
        model=f"openai/{MODEL}", input=QUESTION, max_output_tokens=24, **given
    )
    assert "Paris" in answer.output[0].content[0].text


def anthropic_messages():
    given = {**OPENAI, "api_base": URL}
    answer = litellm.completion(f"anthropic/{MODEL}", MESSAGES, **given).choices[0]
    assert answer.message.content == answer_to(MESSAGES).message.content


tell("litellm", chat, stream, tools, json_schema, logprobs, responses, anthropic_messages)
