"""How tests come by the programs that they need of the machine, a browser among them."""

import os
from pathlib import Path

import pytest

from hack import browser, programs
from hack.cluster.errors import ClusterError


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


@pytest.fixture
def root(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return empty


def bring() -> int:
    return programs.main(browser.PROGRAMS, browser.PACKAGE)


def test_a_chromium_of_the_machine_is_taken(empty: Path, capsys: pytest.CaptureFixture[str]):
    path = program(empty, "chromium")
    assert bring() == 0
    assert capsys.readouterr().out.strip() == str(path) == browser.find()


def test_without_root_it_is_told_what_to_install(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(empty, "apt-get")
    assert bring() == 1
    assert "apt-get install chromium-headless-shell" in capsys.readouterr().err


def test_root_has_it_installed(root: Path):
    installed = root / "curl"
    lines = f"case $* in *install*) : >{installed}; /bin/chmod 755 {installed};; esac"
    program(root, "apt-get", lines)
    assert programs.ensure(["curl"], "curl") == str(installed)


def test_what_apt_says_is_told_when_it_fails(root: Path, capsys: pytest.CaptureFixture[str]):
    program(root, "apt-get", "echo 'no route to the mirror' >&2; exit 100")
    assert bring() == 1
    told = capsys.readouterr().err
    assert told.startswith("→ installing chromium-headless-shell with apt-get\nerror: exit 100:")
    assert "update\nno route to the mirror" in told


def test_apt_is_not_waited_for_without_end(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(programs, "APT_SECONDS", 0.1)
    program(root, "apt-get", "exec /bin/sleep 60")
    assert bring() == 1
    assert "error: no answer in 0.1s: apt-get" in capsys.readouterr().err


def test_a_package_that_brings_nothing_is_told(root: Path):
    program(root, "apt-get")
    with pytest.raises(ClusterError, match="was installed, and brought none of curl"):
        programs.ensure(["curl"], "curl")
