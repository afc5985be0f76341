"""What the scripts here share: what is asked, and how they tell what they tried.

Run by other environments than .venv, so it imports nothing that Python has not.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version

URL, MODEL, TOKENIZER = (os.environ[name] for name in ("URL", "MODEL", "TOKENIZER"))
QUESTION = "What is the capital of France?"
MESSAGES = [{"role": "user", "content": QUESTION}]
PERSON_IN_WORDS = [{"role": "user", "content": "Jason is 25 years old and happy."}]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 16},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "mood": {"enum": ["happy", "sad"]},
    },
    "required": ["name", "age", "mood"],
    "additionalProperties": False,
}
"""Bounded: a small model may write a string without bounds up to the limit of its answer."""
TOOL = {
    "type": "function",
    "function": {"name": "note", "description": "Note a person.", "parameters": PERSON},
}


def check_person(text: str) -> None:
    """Assert that a text is a person by the schema."""
    found = json.loads(text)
    assert set(found) == set(PERSON["properties"]), text
    assert isinstance(found["name"], str), text
    assert len(found["name"]) <= 16, text
    assert 0 <= found["age"] <= 120, text
    assert found["mood"] in ("happy", "sad"), text


def tell(package: str, *tries: Callable[[], None]) -> None:
    """Try each, and write a line for it; exit with 1 if one has failed."""
    has_failed = False
    for each in tries:
        error = None
        try:
            each()
        except Exception:  # noqa: BLE001 - whatever a client raises is what is to be told
            error = traceback.format_exc(limit=-3)
            has_failed = True
        name = each.__name__.replace("_", " ").strip()
        line = {"tried": name, "version": version(package), "error": error}
        print(json.dumps(line), flush=True)
    sys.exit(has_failed)
