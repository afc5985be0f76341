"""A model that calls a function of ours and is told what it gave; `pip install openai`.

For models whose chat template has a place for tools (docs/models.md).

export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=unused
"""

import json

from openai import OpenAI

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 30}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def weather(city: str) -> str:
    """Look out of the window."""
    return f"It is sunny in {city}."


client = OpenAI()
model = client.models.list().data[0]  # adapters come behind it
messages = [{"role": "user", "content": "What is the weather in Paris?"}]

# The function is named, so that even a small model calls it; leave tool_choice to larger ones.
choice = {"type": "function", "function": {"name": "weather"}}
asked = client.chat.completions.create(
    model=model.id, messages=messages, tools=[TOOL], tool_choice=choice, temperature=0
)
[call] = asked.choices[0].message.tool_calls
result = weather(**json.loads(call.function.arguments))
print(f"{call.function.name}({call.function.arguments}): {result}")

messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": result}]
told = client.chat.completions.create(
    model=model.id,
    messages=messages,
    tools=[TOOL],
    tool_choice="none",  # words now, not another call
    temperature=0,
    max_completion_tokens=60,
)
print(told.choices[0].message.content)
