import importlib.metadata

import pytest

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.runner.ahead import environment
from radixloom_runtime.topology import Generation, tpu_slice

ONE_CHIP = tpu_slice(Generation.V6E, "1x1")


def test_without_the_compiler_for_tpus_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(ConfigurationError, match=r"libtpu, which is not installed; pip install"):
        environment.use_tpu_compiler(ONE_CHIP)


def test_a_compiler_of_another_release_is_refused(monkeypatch: pytest.MonkeyPatch):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.0.1.0" if name == "libtpu" else real(name)
    )
    with pytest.raises(ConfigurationError, match=r"wants libtpu 0\.\d+\.\d+\.\*, found 0\.0\.1\.0"):
        environment.use_tpu_compiler(ONE_CHIP)
