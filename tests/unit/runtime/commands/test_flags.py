import argparse
from pathlib import Path

import pytest

from radixloom_runtime.commands import flags
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import Dtype, RuntimeSettings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serve")
    flags.add_arguments(parser)
    return parser


def _settings(*argv: str) -> RuntimeSettings:
    return flags.settings_from(_parser().parse_args(argv))


SECRETS = {"wire_secret", "api_key"}


def test_every_setting_but_the_secrets_has_a_flag_in_one_group():
    grouped = [name for names in flags.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(RuntimeSettings.model_fields.keys() - SECRETS)


def test_without_flags_the_defaults_hold():
    assert _settings() == RuntimeSettings()


def test_flags_of_every_kind_are_read():
    settings = _settings(
        *("--model", "/m", "--max-model-len", "4096", "--dtype", "float32"),
        *("--no-prefix-cache", "--warmup", "--drain-seconds", "2.5", "--host", "::1"),
    )
    assert (settings.model, settings.max_model_len) == (Path("/m"), 4096)
    assert settings.dtype is Dtype.FLOAT32
    assert (settings.prefix_cache, settings.warmup) == (False, True)
    assert (settings.drain_seconds, settings.host) == (2.5, "::1")


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_PORT", "1234")
    assert _settings().port == 1234
    assert _settings("--port", "99").port == 99


def test_a_bad_flag_is_named():
    with pytest.raises(ConfigurationError, match=r"^--port: .* less than or equal to 65535.*99999"):
        _settings("--port", "99999")


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_PORT", "http")
    with pytest.raises(ConfigurationError, match=r"^RADIXLOOM_PORT: .*found 'http'"):
        _settings()


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigurationError, match=r"--port: .*; --page-tokens: "):
        _settings("--port", "-1", "--page-tokens", "x")


def test_flags_that_do_not_agree_are_told():
    with pytest.raises(ConfigurationError, match=r"^rank 3 is not one of the 1 hosts"):
        _settings("--rank", "3")


def test_the_help_tells_defaults_and_variables():
    text = " ".join(_parser().format_help().split())
    assert "Port of the OpenAI API. Default: 8000." in text
    assert "--prefix-cache, --no-prefix-cache" in text
    assert "--max-model-len is RADIXLOOM_MAX_MODEL_LEN" in text
