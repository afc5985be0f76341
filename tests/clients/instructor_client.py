"""instructor: objects by a response_model, in each of the modes that OpenAI's API has."""

from typing import Annotated, Literal

import instructor
from asking import MODEL, PERSON_IN_WORDS, URL, tell
from openai import OpenAI
from pydantic import BaseModel, Field

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)


class Person(BaseModel):
    """A person; every field is bounded."""

    name: Annotated[str, Field(max_length=16)]
    age: Annotated[int, Field(ge=0, le=120)]
    mood: Literal["happy", "sad"]


def extract(mode: instructor.Mode, messages=PERSON_IN_WORDS) -> Person:
    return instructor.from_openai(client, mode=mode).chat.completions.create(
        model=MODEL,
        messages=messages,
        response_model=Person,
        max_retries=0,
        max_tokens=128,
        temperature=0.0,
    )


def tools():
    assert extract(instructor.Mode.TOOLS).name == "Jason"


def tools_where_nothing_is_told():
    # A model that may go on here calls again and again, up to the limit.
    assert extract(instructor.Mode.TOOLS, [{"role": "user", "content": "Tell me a person."}])


def json_schema():
    assert extract(instructor.Mode.JSON_SCHEMA).name == "Jason"


def json_object():
    assert extract(instructor.Mode.JSON).name == "Jason"


tell("instructor", tools, tools_where_nothing_is_told, json_schema, json_object)
