"""What is made of the reports of clients' scripts; the clients themselves: tests/clients."""

from pathlib import Path

import pytest

from hack.clients import trying
from hack.clients.environments import SCRIPTS
from hack.clients.matrix import CLIENTS, Client

TARGET = trying.Target("http://127.0.0.1:1", "tiny", "folder")
NO_CLIENTS = {"asking.py", "conftest.py", "reference.py", "test_clients.py", "test_examples.py"}


def ask(folder: Path, source: str) -> trying.Row:
    script = folder / "script.py"
    script.write_text(source)
    return trying.ask(Client("some", str(script)), TARGET)


def reporting(**tries: str) -> str:
    functions = [f"def {name}():\n    {body}" for name, body in tries.items()]
    head = f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\nimport asking"
    return "\n".join((head, *functions, f"asking.tell('pytest', {', '.join(tries)})"))


def test_a_row_is_good_when_all_that_was_tried_works(tmp_path: Path):
    row = ask(tmp_path, reporting(chat="assert asking.MODEL == 'tiny'", json_schema="pass"))
    assert row.is_good
    assert [(each.tried, each.error) for each in row.attempts] == [
        ("chat", None),
        ("json schema", None),
    ]
    assert row.attempts[0].version == pytest.__version__


def test_what_fails_is_told_with_its_reason_and_the_rest_is_tried(tmp_path: Path):
    row = ask(tmp_path, reporting(chat="raise ValueError('no answer')", stream="pass"))
    assert not row.is_good
    told = trying.table([row])
    assert "stream" in told.splitlines()[2]
    assert "some, chat: Traceback" in told
    assert "ValueError: no answer" in told


@pytest.mark.parametrize(
    ("source", "problem"),
    [("import nothing_like_it", "nothing_like_it"), ("exit(3)", "exit code 3")],
)
def test_a_script_that_does_not_come_to_its_end_is_no_good_row(
    tmp_path: Path, source: str, problem: str
):
    row = ask(tmp_path, source)
    assert not row.is_good
    assert problem in trying.table([row])


def test_a_script_that_tried_nothing_is_no_good_row(tmp_path: Path):
    assert not ask(tmp_path, "").is_good


def test_every_script_is_of_one_client():
    scripts = {path.name for path in SCRIPTS.iterdir() if path.suffix in (".py", ".mjs")}
    assert {client.script for client in CLIENTS} == scripts - NO_CLIENTS
    assert len(CLIENTS) == len(scripts - NO_CLIENTS)
