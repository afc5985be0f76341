import argparse
import subprocess
import sys
from collections.abc import Callable

import pytest

import radixloom_runtime
from radixloom_runtime import cli
from radixloom_runtime.errors import (
    EngineError,
    FetchError,
    ModelError,
    RadixloomError,
    RequestError,
)


def test_every_command_has_one_line_of_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"    {name} " in told


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"radixloom {name}" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"radixloom {radixloom_runtime.__version__}\n"


def test_a_bad_value_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["serve", "--port", "http"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("radixloom: --port: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["sing"], ["serve", "--no-such-flag"]])
def test_what_is_no_command_is_exit_code_2(argv: list[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2


def _raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelError("no config.json"), 2),
        (FetchError("refused"), 2),
        (RequestError("no such model"), 2),
        (EngineError("lost"), 1),
        (RadixloomError("other"), 1),
    ],
)
def test_an_error_is_one_line_and_says_whose_it_is(
    error: RadixloomError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("radixloom_runtime.commands.serve.run", _raising(error))
    assert cli.main(["serve"]) == code
    assert capsys.readouterr().err == f"radixloom: {error}\n"


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("radixloom_runtime.commands.serve.run", _raising(KeyboardInterrupt()))
    assert cli.main(["serve"]) == 130


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from radixloom_runtime import cli; cli.parser();"
        "sys.exit(bool({'jax', 'transformers', 'fastapi', 'zmq'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
