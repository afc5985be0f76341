"""`radixloom chat` in a pipe and on a terminal, against a real HTTP server."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.openai_stub import OpenAIStub, openai_stub

from radixloom_runtime import cli
from radixloom_runtime.commands.chat.conversation import Conversation
from radixloom_runtime.commands.chat.loop import obey
from radixloom_runtime.commands.chat.screen import printable


def pipe(monkeypatch: pytest.MonkeyPatch, url: str, text: str, *flags: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return cli.main(["chat", "--url", url, *flags])


def test_each_line_of_a_pipe_gets_an_answer_and_history_grows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with openai_stub() as stub:
        assert pipe(monkeypatch, stub.url, "Where?\n\nAnd why?\n", "--system", "Be brief.") == 0
    assert capsys.readouterr().out == "Paris is nice.\nParis is nice.\n"
    assert [message["content"] for message in stub.requests[1]["messages"]] == [
        "Be brief.",
        "Where?",
        "Paris is nice.",
        "And why?",
    ]


def test_speed_and_cached_tokens_are_told_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with openai_stub(OpenAIStub(seconds_between=0.01)) as stub:
        pipe(monkeypatch, stub.url, "Where?\n")
    told = capsys.readouterr().err
    assert "4 tokens, " in told
    assert "tokens/s, first after 0." in told
    assert "3 of 10 prompt tokens cached" in told


def test_a_pipe_gets_the_answer_without_the_thoughts_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with openai_stub(OpenAIStub(thoughts=["Hm", ", France"])) as stub:
        pipe(monkeypatch, stub.url, "Where?\nWhy?\n")
    found = capsys.readouterr()
    assert found.out == "Paris is nice.\nParis is nice.\n"
    assert "Hm" not in found.err
    assert stub.requests[1]["messages"][1] == {"role": "assistant", "content": "Paris is nice."}


def test_only_given_options_are_sent(monkeypatch: pytest.MonkeyPatch):
    with openai_stub() as stub:
        pipe(monkeypatch, stub.url, "Where?\n", "--temperature", "0", "--seed", "7")
    (request,) = stub.requests
    assert (request["temperature"], request["seed"]) == (0.0, 7)
    assert "top_p" not in request
    assert "max_tokens" not in request


def test_a_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with openai_stub() as stub:
        pipe(monkeypatch, stub.url, "Where?\n")
    assert stub.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 429}, "HTTP 429: no tokens today"),
        ({"error_after": 2}, "the engine died"),
        ({"break_off_after": 2}, "no server answers"),
    ],
)
def test_an_answer_that_fails_in_a_pipe_is_told_and_changes_the_exit_code(
    fault: dict[str, int],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    with openai_stub(OpenAIStub(**fault)) as stub:
        assert pipe(monkeypatch, stub.url, "Where?\n") == 1
    assert reason in capsys.readouterr().err


def test_a_failed_question_is_not_part_of_what_was_said(monkeypatch: pytest.MonkeyPatch):
    with openai_stub(OpenAIStub(fail_every=1)) as stub:
        pipe(monkeypatch, stub.url, "Where?\nWho?\n")
    assert [message["content"] for message in stub.requests[1]["messages"]] == ["Who?"]


def test_where_no_server_answers_one_learns_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with openai_stub() as gone:
        pass
    assert pipe(monkeypatch, gone.url, "Where?\n") == cli.EXIT_USAGE
    assert "radixloom serve" in capsys.readouterr().err


def test_commands_change_the_chat():
    chat = Conversation("tiny", {}, turns=[("Where?", "Paris.")])
    assert "/reset" in obey("/help", chat)
    assert obey("/system Be brief.", chat) == "system: Be brief."
    assert obey("/reset", chat) == "forgotten"
    assert chat.request("Who?")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
    ]
    assert obey("/system", chat) == "system: none"
    assert "/help" in obey("/dance", chat)


def test_an_answer_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\x07\x9b0m\tc\nd é") == "a[2Jb0m\tc\nd é"


class Terminal:
    """A chat on a pseudo-terminal, as a user sits before it."""

    def __init__(self, url: str) -> None:
        self.keyboard, slave = pty.openpty()
        command = [Path(sys.executable).with_name("radixloom"), "chat", "--url", url]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` comes after what was waited for before."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.seen += os.read(self.keyboard, 4096).decode()
        self.seen = self.seen.partition(text)[2]


def test_thoughts_are_seen_dimly_as_they_come_and_the_answer_after_them():
    with openai_stub(OpenAIStub(thoughts=["Hm,\n", " Fr", "ance"])) as stub:
        terminal = Terminal(stub.url)
        terminal.wait_for("> ")
        terminal.type("Where?\n")
        terminal.wait_for("\x1b[2mHm,")
        terminal.wait_for("\x1b[2m Fr\x1b[0m\x1b[2mance\x1b[0m\r\n\r\nParis is nice.\r\n")
        terminal.wait_for("> ")
        terminal.type("/quit\n")
        assert terminal.process.wait(20) == 0
        os.close(terminal.keyboard)


def test_ctrl_c_stops_the_answer_and_not_the_chat():
    with openai_stub(OpenAIStub(words=["la "] * 2000, seconds_between=0.01)) as stub:
        terminal = Terminal(stub.url)
        terminal.wait_for("/help lists the commands")
        terminal.wait_for("> ")
        terminal.type("Sing!\n")
        terminal.wait_for("la la la")
        terminal.process.send_signal(2)
        terminal.wait_for("first after")
        terminal.wait_for("> ")
        stub.words = ["Done."]
        terminal.type("Enough?\n")
        terminal.wait_for("Done.")
        terminal.type("/quit\n")
        assert terminal.process.wait(30) == 0
        os.close(terminal.keyboard)
    assert stub.requests[1]["messages"][1]["content"].startswith("la la la")
