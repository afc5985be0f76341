"""A chat whose answer comes as it is written; `pip install openai`.

export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=unused
"""

from openai import OpenAI

client = OpenAI()
model = client.models.list().data[0]  # adapters come behind it

question = {"role": "user", "content": "What is the capital of France?"}
chunks = client.chat.completions.create(
    model=model.id, messages=[question], temperature=0, stream=True
)
for chunk in chunks:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
