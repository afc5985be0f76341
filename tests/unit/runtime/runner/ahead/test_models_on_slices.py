"""The gate for TPUs without a TPU: whole models, compiled for slices on which they fit."""

import pytest

from bench.plan_table import GATED, QUICK, Row, plan

MIB = 1 << 20

KNOWN_COPIES_BYTES = {"qwen3-30b-a3b": 768 * MIB, "qwen3-32b": 200 * MIB}
"""What XLA copies of a layer's weights, and should not (docs/architecture.md, critiques): experts,
out of the stack of layers for its grouped product; the matrix of queries, keys and values, into
another order, twice. More than that is a new defect."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", GATED, ids=lambda row: row.name)
def test_a_model_fits_its_slice_and_copies_neither_its_cache_nor_its_weights(row: Row):
    found, errors = plan(row, *QUICK)
    assert found["fits"], errors
    assert [step["name"] for step in found["steps"]] == ["decode 1", "decode 8", "mixed 16x8"]
    allowed = 64 * MIB + KNOWN_COPIES_BYTES.get(row.model, 0)
    for step in found["steps"]:
        assert step["temporaries_bytes"] <= allowed, step["name"]
        assert step["weight_gathers"] == []
        assert step["peak_bytes"] <= found["hbm_bytes"]
