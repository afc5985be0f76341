"""LiteLLM, by OpenAI's chats, OpenAI's Responses and Anthropic's messages."""

import os

import litellm

URL, MODEL = os.environ["URL"], os.environ["MODEL"]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
OPENAI = {"api_base": f"{URL}/v1", "api_key": "none", "temperature": 0.0}

answer = litellm.completion(f"openai/{MODEL}", MESSAGES, max_tokens=24, **OPENAI)
text = answer.choices[0].message.content
assert "Paris" in text, text
assert answer.usage.completion_tokens > 0

chunks = litellm.completion(f"openai/{MODEL}", MESSAGES, max_tokens=24, stream=True, **OPENAI)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text

message = litellm.completion(
    f"anthropic/{MODEL}",
    MESSAGES,
    max_tokens=24,
    temperature=0.0,
    api_base=URL,
    api_key="none",
)
assert message.choices[0].message.content == text

response = litellm.responses(
    model=f"openai/{MODEL}", input=MESSAGES[0]["content"], max_output_tokens=24, **OPENAI
)
assert response.output[0].content[0].text == text
print(f"litellm: {text!r}")
