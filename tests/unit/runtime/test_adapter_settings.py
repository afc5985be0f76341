from pathlib import Path

import pytest
from pydantic import ValidationError

from radixloom_runtime.settings import RuntimeSettings, environment


def test_adapters_come_from_flags_or_the_environment(monkeypatch: pytest.MonkeyPatch):
    given = ("a=/x/a", "b=/x/b")
    wanted = {"a": Path("/x/a"), "b": Path("/x/b")}
    assert RuntimeSettings(lora=given).adapters == wanted
    for name, value in environment(lora=given).items():
        monkeypatch.setenv(name, value)
    assert RuntimeSettings().adapters == wanted


def test_there_is_room_for_those_that_are_named_unless_it_is_said():
    assert RuntimeSettings().num_adapters == 0
    assert RuntimeSettings(lora=("a=/a",)).num_adapters == 1
    assert RuntimeSettings(lora=("a=/a",), max_loras=4).num_adapters == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lora": ("a",)}, "NAME=FOLDER"),
        ({"lora": ("a:b=/a",)}, "no ':' in NAME"),
        ({"lora": ("a=/a", "a=/b")}, "twice"),
        ({"lora": ("a=/a", "b=/b"), "max_loras": 1}, "max_loras is 1"),
    ],
)
def test_what_cannot_be_loaded_is_refused(given: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        RuntimeSettings(**given)
