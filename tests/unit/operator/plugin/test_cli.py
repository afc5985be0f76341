"""`kubectl llm` from arguments to kubectl's, by a program that stands in kubectl's place."""

import json
import sys

import pytest
from support.llmservice_cases import manifest

from radixloom_operator.naming import REVISION_LABEL
from radixloom_operator.plugin.cli import main

SERVICE = manifest() | {"status": {"updateRevision": "new", "currentRevision": "new"}}
HISTORY = [
    {"revision": number, "metadata": {"labels": {REVISION_LABEL: name}}}
    for number, name in enumerate(("old", "new"), 1)
]


class StandIn:
    """Notes what it is asked and answers from files."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self.answer("get", SERVICE)
        self.answer("list", {"items": HISTORY})
        program = folder / "kubectl"
        program.write_text(
            f"#!{sys.executable}\n"
            "import json, pathlib, sys\n"
            f"folder = pathlib.Path({str(folder)!r})\n"
            "words = sys.argv[1:]\n"
            "with (folder / 'asked').open('a') as asked:\n"
            "    asked.write(json.dumps(words) + '\\n')\n"
            "verb = next(word for word in words if not word.startswith('-'))\n"
            "kind = 'list' if 'controllerrevisions' in words else verb\n"
            "answer = folder / kind\n"
            "if not answer.exists():\n"
            "    sys.exit(f'{kind}: forbidden')\n"
            "print(answer.read_text())\n"
        )
        program.chmod(0o755)

    def answer(self, kind, document) -> None:
        (self._folder / kind).write_text(json.dumps(document))

    def forget(self, kind) -> None:
        (self._folder / kind).unlink()

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._folder / "asked").read_text().splitlines()]


@pytest.fixture
def kubectl(tmp_path, monkeypatch) -> StandIn:
    monkeypatch.setenv("PATH", str(tmp_path))
    return StandIn(tmp_path)


def test_status_asks_in_the_namespace_and_cluster_named(kubectl, capsys):
    assert main(["status", "chat", "-n", "prod", "--context", "west"]) == 0
    (words,) = kubectl.asked()
    assert words[:2] == ["--namespace=prod", "--context=west"]
    assert words[2:] == ["get", "llmservices.serving.radixloom.dev", "chat", "--output=json"]
    assert capsys.readouterr().out.startswith("default/chat: no operator")


def test_logs_are_those_of_the_leader_of_the_slice(kubectl):
    kubectl.answer("logs", "a line")
    assert main(["logs", "chat", "--slice", "2", "--previous"]) == 0
    assert kubectl.asked() == [["logs", "chat-s2-0", "--container=engine", "--previous"]]


def test_undo_pins_the_revision_before_and_says_how_to_go_on(kubectl, capsys):
    kubectl.answer("patch", "patched")
    assert main(["undo", "chat"]) == 0
    patch = kubectl.asked()[-1][-1]
    assert json.loads(patch.removeprefix("--patch=")) == {"spec": {"rollout": {"revision": "old"}}}
    assert "kubectl llm undo chat --end" in capsys.readouterr().out


def test_the_end_of_an_undo_takes_the_pin_away(kubectl):
    kubectl.answer("patch", "patched")
    assert main(["undo", "chat", "--end"]) == 0
    (words,) = kubectl.asked()
    assert words[-1] == '--patch={"spec": {"rollout": {"revision": null}}}'


def test_what_kubectl_refuses_is_told_in_its_own_words(kubectl, capsys):
    kubectl.forget("get")
    assert main(["status", "chat"]) == 1
    assert capsys.readouterr().err == "error: get: forbidden\n"


def test_a_status_of_another_version_is_no_crash(kubectl, capsys):
    kubectl.answer("get", SERVICE | {"status": {"mood": "good"}})
    assert main(["status", "chat"]) == 1
    assert "another version of the operator" in capsys.readouterr().err


def test_without_kubectl_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["status", "chat"]) == 1
    assert "put kubectl on the PATH" in capsys.readouterr().err


def test_chat_needs_the_other_half(kubectl, capsys):
    assert main(["chat", "chat"]) == 1
    assert "install radixloom[runtime]" in capsys.readouterr().err


def test_chat_is_led_through_a_forwarded_port(kubectl, tmp_path):
    (tmp_path / "port-forward").write_text("Forwarding from 127.0.0.1:40123 -> 8000")
    radixloom = tmp_path / "radixloom"
    radixloom.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/chatted\n')
    radixloom.chmod(0o755)
    assert main(["chat", "chat", "-n", "prod"]) == 0
    assert kubectl.asked() == [["--namespace=prod", "port-forward", "service/chat", ":8000"]]
    assert (tmp_path / "chatted").read_text() == "chat --url http://127.0.0.1:40123/v1\n"
