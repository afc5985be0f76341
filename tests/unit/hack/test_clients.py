"""What is made of the reports of clients' scripts; the clients themselves: tests/clients."""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hack.clients import environments, trying
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


@pytest.mark.slow
def test_a_script_without_an_end_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trying, "ATTEMPT_SECONDS", 5.0)
    child = "subprocess.Popen(['sleep', '600'])"
    lines = [
        "import pathlib, subprocess, time",
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str({child}.pid))",
        """print('{"tried": "chat", "version": "1", "error": null}', flush=True)""",
        "time.sleep(600)",
    ]
    row = ask(tmp_path, "\n".join(lines))
    assert not row.is_good
    assert [each.tried for each in row.attempts] == ["chat"]
    assert "no end after 5 s" in trying.table([row])
    wait_gone(int((tmp_path / "child").read_text()))


def wait_gone(pid: int) -> None:
    """Wait until a process has ended, whoever takes note of it."""
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + 20
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while "State:\tZ" not in status.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], trying.Row]:
    """Asks by a client that has to be brought first, by a `uv` of the test's own."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def ask_with(script: str) -> trying.Row:
        uv = tmp_path / "bin" / "uv"
        uv.parent.mkdir()
        uv.write_text(f"#!/bin/sh\n{script}\n")
        uv.chmod(0o755)
        return trying.ask(Client("some", "some.py", packages=("some",)), TARGET)

    return ask_with


def test_what_an_index_says_is_told_where_an_environment_cannot_be_made(
    index: Callable[[str], trying.Row],
):
    problem = index("echo 'no such package' >&2; exit 2").problem
    assert problem is not None
    assert "could not be made" in problem
    assert "exit 2" in problem
    assert problem.endswith("no such package")


def test_an_index_is_not_waited_for_without_end(
    index: Callable[[str], trying.Row], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environments, "MAKE_SECONDS", 0.2)
    problem = index("exec sleep 600").problem
    assert problem is not None
    assert "no answer in" in problem


def test_every_script_is_of_one_client():
    scripts = {path.name for path in SCRIPTS.iterdir() if path.suffix in (".py", ".mjs")}
    assert {client.script for client in CLIENTS} == scripts - NO_CLIENTS
    assert len(CLIENTS) == len(scripts - NO_CLIENTS)
