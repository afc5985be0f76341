"""The compiled step updates the KV pool, and states, in place."""

from dataclasses import replace

import pytest
from support.tiny_models import HYBRID, TIED, tiny_model, tiny_runner

from radixloom_runtime.runner.assemble import table_pages
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.history import history_shapes, recurrent_bytes
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.programs import Programs
from radixloom_runtime.runner.rows import row_shapes
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import weight_shapes

pytestmark = pytest.mark.timeout(300)  # may have to compile


@pytest.mark.parametrize("name", [TIED, pytest.param("deepseek-v2-lite", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mixed", [False, True], ids=["decode", "mixed"])
def test_a_step_makes_no_copy_of_the_pool(name, mixed):
    runner = tiny_runner(name)
    bucket = next(bucket for bucket in runner.programs.layouts if bucket.mixed == mixed)
    analysis = runner.programs.step(bucket).memory_analysis()
    assert runner.pool_bytes > 6 << 20
    assert analysis.temp_size_in_bytes < 1 << 20
    assert analysis.alias_size_in_bytes >= runner.pool_bytes


@pytest.mark.slow
@pytest.mark.parametrize("name", HYBRID)
@pytest.mark.parametrize("bucket", [Bucket(16, 16, mixed=False), Bucket(64, 16, mixed=True)])
def test_a_step_makes_no_copy_of_the_states(name, bucket):
    model = tiny_model(name)
    limits = replace(tiny_runner(name).limits, max_rows=4096, num_pages=16)
    assert recurrent_bytes(model, limits.max_rows) > 16 << 20
    mesh = make_mesh(model.mesh_shape)
    rows = row_shapes(mesh, limits.max_rows, table_pages(limits), model.config.vocab_size)
    example = (weight_shapes(model, mesh), history_shapes(model, mesh, limits), rows)
    layout = StepLayout(bucket, limits.page_tokens, limits.max_rows)
    programs = Programs(model, (layout,), limits.num_pages, example)
    analysis = programs.step(bucket).memory_analysis()
    # One layer's windows are 6 MiB; what the rows' other state takes is another's test.
    assert analysis.temp_size_in_bytes < 4 << 20
