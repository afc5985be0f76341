import argparse

import pytest

from radixloom_runtime import cli
from radixloom_runtime.commands import flags, route
from radixloom_runtime.router_settings import RouterSettings


def _settings(*argv: str) -> RouterSettings:
    parser = argparse.ArgumentParser(prog="route")
    route.add_arguments(parser)
    return flags.read(parser.parse_args(argv), RouterSettings)


def test_every_setting_but_the_key_has_a_flag_in_one_group():
    grouped = [name for names in route.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(RouterSettings.model_fields.keys() - {"api_key"})


def test_a_leader_is_given_by_each_flag():
    settings = _settings("--backend", "http://a:1", "--backend", "http://b:2", "--port", "9")
    assert (settings.backend, settings.port) == (("http://a:1", "http://b:2"), 9)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ((), "found neither"),
        (("--backend", "a:1"), "--backend: "),
        (("--discover", "leaders:80", "--hold-seconds", "-1"), "--hold-seconds: "),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    argv: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["route", *argv]) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1
