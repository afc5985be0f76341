"""An answer held to the fields of a class; `pip install openai`.

export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=unused
"""

from typing import Annotated, Literal

from openai import OpenAI
from pydantic import BaseModel, Field


class Person(BaseModel):
    """Bounds are held, too: without them, a small model may write a name without end."""

    name: Annotated[str, Field(max_length=20)]
    age: Annotated[int, Field(ge=0, le=120)]
    mood: Literal["happy", "sad"]


client = OpenAI()
model = client.models.list().data[0]  # adapters come behind it

answer = client.chat.completions.parse(
    model=model.id,
    messages=[{"role": "user", "content": "Jason is 25 years old and happy."}],
    response_format=Person,
    temperature=0,
)
print(answer.choices[0].message.parsed)
