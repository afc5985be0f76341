"""The gate for TPUs without a TPU: whole models, compiled for slices on which they fit."""

import pytest

from bench.plan_table import GATED, QUICK, Row, plan

MIB = 1 << 20


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", GATED, ids=lambda row: row.name)
def test_a_model_fits_its_slice_and_copies_neither_its_cache_nor_its_weights(row: Row):
    found, errors = plan(row, *QUICK)
    assert found["fits"], errors
    assert [step["name"] for step in found["steps"]] == ["decode 1", "decode 8", "mixed 16x8"]
    assert found["used_devices"] == found["num_devices"]
    for step in found["steps"]:
        assert step["temporaries_bytes"] <= 64 * MIB, step["name"]
        assert step["weight_gathers"] == []
        assert step["peak_bytes"] <= found["hbm_bytes"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_layer_of_a_model_on_several_devices_adds_up_twice():
    # After attention and after the MLP; and once what the embedding's parts give. The sampler tells
    # a few numbers a row.
    found, errors = plan(Row("llama-3.1-8b", "v5e", "2x2"), *QUICK)
    assert found["fits"], errors
    for step, tokens in zip(found["steps"], (1, 8, 16), strict=True):
        (sums,) = (one for one in step["traffic"] if one["kind"] == "all-reduce")
        times, rest = divmod(sums["num_bytes"], tokens * 4096 * 2)
        assert times in (1 + 2 * 32, 2 * (1 + 2 * 32))  # in bfloat16, or XLA adds up in float32
        assert rest < tokens * 1024
        told = [one["num_bytes"] for one in step["traffic"] if one["kind"] == "all-gather"]
        assert sum(told) < tokens * 4096  # the likeliest of each device, never all scores


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_groups_gather_their_tokens_for_the_experts_and_no_weight():
    row = Row("qwen3-30b-a3b", "v6e", "2x4", ("--data-parallel", "2"))
    found, errors = plan(row, *QUICK)
    assert found["fits"], errors
    assert (found["used_devices"], found["num_groups"]) == (8, 2)
    for step in found["steps"][1:]:
        counts = {one["kind"]: one["count"] for one in step["traffic"]}
        assert counts["reduce-scatter"] == 48, "one a layer"
        assert counts["all-gather"] >= 48, "and the likeliest tokens, and results"
        assert step["weight_gathers"] == []
