"""How the engine process gets its settings."""

import os
from pathlib import Path

import pytest

from radixloom_runtime.engine.launch import SETTINGS_VARIABLE, engine_command, read_settings
from radixloom_runtime.errors import EngineError
from radixloom_runtime.settings import Dtype, RuntimeSettings

SETTINGS = RuntimeSettings(
    model=Path("/models/demo"),
    dtype=Dtype.BFLOAT16,
    step_tokens=512,
    prefix_cache=False,
    wire_secret="hush",
)


def test_the_engine_reads_the_settings_that_the_server_has(monkeypatch):
    _, environment = engine_command("ipc:///x", SETTINGS)
    monkeypatch.setenv("RADIXLOOM_STEP_TOKENS", "99")  # decided already: must not count again
    monkeypatch.setenv("RADIXLOOM_MAX_MODEL_LEN", "99")
    assert read_settings(environment) == SETTINGS


def test_a_secret_reaches_the_engine_but_no_argument_list():
    argv, environment = engine_command("ipc:///x", SETTINGS)
    assert not any("hush" in argument for argument in argv)
    secret = read_settings(environment).wire_secret
    assert secret is not None
    assert secret.get_secret_value() == "hush"


def test_the_engine_inherits_the_environment_and_learns_its_parent(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--some-flag")
    argv, environment = engine_command("ipc:///x", SETTINGS)
    assert environment["XLA_FLAGS"] == "--some-flag"
    assert argv[-1] == str(os.getpid())


def test_an_engine_started_by_hand_says_how_it_should_be_started():
    with pytest.raises(EngineError, match=f"{SETTINGS_VARIABLE}, found none.*radixloom serve"):
        read_settings({})
