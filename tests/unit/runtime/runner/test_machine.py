"""jax looks for TPUs only where there may be some."""

import pytest

from radixloom_runtime.runner import machine


@pytest.fixture
def without_gpu_plugins(monkeypatch):
    monkeypatch.setattr(machine, "_GPU_PLUGINS", ())


@pytest.mark.usefixtures("without_gpu_plugins")
def test_a_machine_without_tpus_has_its_cpu(tmp_path):
    environment = {}
    machine.skip_absent_tpus(environment, tmp_path)
    assert environment == {"JAX_PLATFORMS": "cpu"}


@pytest.mark.usefixtures("without_gpu_plugins")
@pytest.mark.parametrize("device", ["accel0", "vfio/0"])
def test_jax_chooses_where_there_is_a_tpu(tmp_path, device):
    (tmp_path / device).parent.mkdir(exist_ok=True)
    (tmp_path / device).touch()
    environment = {}
    machine.skip_absent_tpus(environment, tmp_path)
    assert environment == {}


def test_jax_chooses_where_a_gpu_plugin_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_GPU_PLUGINS", ("json",))
    environment = {}
    machine.skip_absent_tpus(environment, tmp_path)
    assert environment == {}


def test_what_the_user_chose_stays(tmp_path):
    environment = {"JAX_PLATFORMS": "cuda"}
    machine.skip_absent_tpus(environment, tmp_path)
    assert environment == {"JAX_PLATFORMS": "cuda"}


def test_giving_memory_back_can_be_done_at_any_time():
    machine.give_back_freed_memory()
