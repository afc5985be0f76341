"""`radixloom fetch` as a command."""

from pathlib import Path

import pytest
from support.checkpoint_folder import write_checkpoint

from radixloom_runtime import cli


def test_the_folder_alone_is_printed_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    original = write_checkpoint(tmp_path / "tiny")
    assert cli.main(["fetch", f"file://{original}"]) == 0
    folder = tmp_path / "cache" / "radixloom" / "models" / "tiny"
    assert capsys.readouterr().out == f"{folder}\n"
    assert (folder / "config.json").is_file()


def test_a_second_time_says_so_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    original = write_checkpoint(tmp_path / "tiny")
    arguments = ["fetch", f"file://{original}", "--output", str(tmp_path / "copy")]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    assert cli.main(arguments) == 0
    assert "already" in capsys.readouterr().err


def test_a_failure_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert cli.main(["fetch", f"file://{tmp_path}"]) == cli.EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("radixloom: ")


def test_a_mounted_claim_takes_no_output(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["fetch", "pvc://weights/tiny", "--output", "/tmp/x"]) == cli.EXIT_USAGE
    assert "--output has no meaning" in capsys.readouterr().err
