"""How the console's tests come by a browser."""

import os
from pathlib import Path

import pytest

from hack import browser


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_chromium_of_the_machine_is_taken(empty: Path):
    path = program(empty, "chromium")
    assert browser.ensure() == str(path)


def test_without_root_it_is_told_what_to_install(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(browser.BrowserError, match="apt-get install chromium-headless-shell"):
        browser.ensure()


def test_root_has_it_installed(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    installed = empty / browser.PACKAGE
    script = f'[ "$1" = update ] || {{ : >{installed}; /bin/chmod 755 {installed}; }}'
    program(empty, "apt-get", script)
    assert browser.ensure() == str(installed)


def test_what_apt_says_is_told_when_it_fails(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(empty, "apt-get", "echo 'no route to the mirror' >&2; exit 100")
    assert browser.main() == 1
    assert "apt-get update -qq failed: no route to the mirror" in capsys.readouterr().err
