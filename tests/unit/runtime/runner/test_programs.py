"""The compiled step updates the KV pool in place."""

import pytest
from support.tiny_models import TIED, tiny_runner

pytestmark = pytest.mark.timeout(300)  # may have to compile


@pytest.mark.parametrize("mixed", [False, True], ids=["decode", "mixed"])
def test_a_step_makes_no_copy_of_the_pool(mixed):
    runner = tiny_runner(TIED)
    bucket = next(bucket for bucket in runner.programs.layouts if bucket.mixed == mixed)
    analysis = runner.programs.step(bucket).memory_analysis()
    assert runner.pool_bytes > 6 << 20
    assert analysis.temp_size_in_bytes < 1 << 20
    assert analysis.alias_size_in_bytes >= runner.pool_bytes
