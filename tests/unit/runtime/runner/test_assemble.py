"""What is decided by the kind of device before anything is built."""

from types import SimpleNamespace

import pytest
from support.tiny_models import TIED, tiny_model

from radixloom_runtime.runner.assemble import decide_limits
from radixloom_runtime.scheduler.guide import pays_to_jump
from radixloom_runtime.settings import RuntimeSettings

MEMORY = {"bytes_limit": 16 << 30, "bytes_in_use": 0}


@pytest.mark.parametrize(
    ("platform", "kind", "pays"),
    [("cpu", "cpu", False), ("tpu", "TPU v5 lite", True), ("gpu", "NVIDIA H200", True)],
)
def test_two_forced_tokens_are_appended_where_a_step_s_time_is_that_of_its_weights(
    platform, kind, pays
):
    device = SimpleNamespace(platform=platform, device_kind=kind, memory_stats=lambda: MEMORY)
    limits = decide_limits(RuntimeSettings(), [tiny_model(TIED)], [device])
    assert pays_to_jump(2, 1, limits) is pays
