import argparse
from pathlib import Path

import pytest

from radixloom_runtime.commands.plan import options
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings


def _read(*argv: str) -> options.Request:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return options.read(parser.parse_args(["--model", "m", *argv]))


def test_a_cpu_is_cut_into_as_many_devices_as_the_settings_want():
    assert _read("--tpu", "cpu").hardware.devices == 1
    assert _read("--tpu", "cpu", "--cpu-devices", "4").hardware.devices == 4
    assert _read("--tpu", "cpu", "--tensor-parallel", "2").hardware.devices == 2
    two_by_two = _read("--tpu", "cpu", "--data-parallel", "2", "--tensor-parallel", "2")
    assert two_by_two.hardware.devices == 4


def test_two_by_four_is_one_host_unless_said_otherwise():
    assert _read("--tpu", "v6e", "--topology", "2x4").hardware.hosts == 1
    two = _read("--tpu", "v6e", "--topology", "2x4", "--chips-per-host", "4")
    assert two.hardware.hosts == two.settings.num_hosts == 2


def test_saving_compiles_every_step():
    assert _read("--tpu", "cpu", "--steps", "none").steps is options.Steps.NONE
    assert _read("--tpu", "cpu", "--save", "there").steps is options.Steps.ALL


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--tpu", "v6e"), "--tpu v6e needs --topology, such as 1x1"),
        (("--tpu", "v6e", "--topology", "3x3"), "v6e has no topology '3x3'; take one of 1x1"),
        (("--tpu", "cpu", "--topology", "1x1"), "do not apply to --tpu cpu"),
        (("--tpu", "cpu", "--step-tokens", "0"), "--step-tokens: "),
    ],
)
def test_flags_that_name_no_slice_are_refused(argv: tuple[str, ...], message: str):
    with pytest.raises(ConfigurationError, match=message):
        _read(*argv)


def test_the_settings_that_are_taken_are_settings_of_serve():
    assert set(options.SETTINGS) < set(RuntimeSettings.model_fields)
    settings = _read("--tpu", "cpu", "--max-model-len", "512", "--dtype", "bfloat16").settings
    assert (settings.max_model_len, settings.dtype, settings.model) == (512, "bfloat16", Path("m"))
