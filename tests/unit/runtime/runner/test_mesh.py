"""Which shapes a model's mesh may have."""

import jax

from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.runner.mesh import possible_shapes
from radixloom_runtime.settings import RuntimeSettings


def _tensor(**settings) -> list[int]:
    shapes = list(possible_shapes(RuntimeSettings(**settings), jax.devices()[:4]))
    assert all(shape == MeshShape(1, 1, shape.tensor) for shape in shapes)
    return [shape.tensor for shape in shapes]


def test_on_one_host_a_model_spans_as_many_devices_as_it_can():
    assert _tensor(cpu_devices=4) == [4, 3, 2, 1]


def test_a_cpu_is_not_cut_by_itself():
    assert _tensor() == [1]


def test_on_several_hosts_no_device_stays_out():
    assert _tensor(num_hosts=2) == [4]
    assert _tensor(num_hosts=2, cpu_devices=2) == [4]


def test_what_the_settings_say_is_all_that_is_tried():
    assert _tensor(tensor_parallel=3) == [3]
    assert _tensor(num_hosts=2, tensor_parallel=2) == [2]
