"""The gate for TPUs without a TPU: whole models, compiled for slices on which they fit."""

import pytest

from bench.plan_table import GATED, QUICK, Row, plan

MIB = 1 << 20

KNOWN_COPIES_BYTES = {
    # [rows, vocabulary] arrays of the sampler and of prompts' log-probabilities.
    "qwen3-8b tpu7x 2x2x1": 32 * MIB,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", GATED, ids=lambda row: row.name)
def test_a_model_fits_its_slice_and_copies_neither_its_cache_nor_its_weights(row: Row):
    found, errors = plan(row, *QUICK)
    assert found["fits"], errors
    assert [step["name"] for step in found["steps"]] == ["decode 1", "decode 8", "mixed 16x8"]
    assert found["used_devices"] == found["num_devices"]
    allowed = 64 * MIB + KNOWN_COPIES_BYTES.get(row.name, 0)
    for step in found["steps"]:
        assert step["temporaries_bytes"] <= allowed, step["name"]
        assert step["weight_gathers"] == []
        assert step["peak_bytes"] <= found["hbm_bytes"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_layer_of_a_model_on_several_devices_adds_up_twice():
    # after attention and after the MLP; and once what the embedding's parts give
    found, errors = plan(Row("llama-3.1-8b", "v5e", "2x2"), *QUICK)
    assert found["fits"], errors
    for step in found["steps"][1:]:  # in a step of one token, argmax adds one of its own
        (sums,) = (one for one in step["traffic"] if one["kind"] == "all-reduce")
        assert sums["count"] == 1 + 2 * 32
