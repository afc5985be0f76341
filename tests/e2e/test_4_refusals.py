"""A spec that cannot be served is refused at `kubectl apply`, or says why in its status."""

import pytest
from support.space import manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120, func_only=True)]


@pytest.fixture
def refused(installation, spaces):
    return spaces("e2e-refused")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"tpu": {"generation": "v5e", "topology": "2x4"}},
            "2x4 is one host of 8 chips or two hosts of 4; set chipsPerHost to 8 or 4",
        ),
        (
            {"tpu": {"generation": "v5e", "topology": "3x3"}},
            "v5e and v6e take topology 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16 or 16x16",
        ),
        (
            {"tpu": {"generation": "v5p", "topology": "4x4"}},
            "v4, v5p and v7x take a topology of three sides",
        ),
        ({"tpu": {"generation": "v9"}}, 'Unsupported value: "v9"'),
        ({"tpu": {"generation": "v5e"}}, "topology is required for TPU generations"),
        ({"model": {"uri": "s3://bucket/model"}}, "spec.model.uri"),
        ({"replicas": -1}, "greater than or equal to 0"),
        ({"replicsa": 2}, 'unknown field "spec.replicsa"'),
        (
            {"drain": {"preStopSeconds": 60, "gracePeriodSeconds": 30}},
            "drain.gracePeriodSeconds must exceed drain.preStopSeconds",
        ),
        (
            {"engine": {"hostResources": {"google.com/tpu": 4}}},
            "google.com/tpu is computed from spec.tpu",
        ),
        ({"compileCache": {"mode": "PVC"}}, "claimName is required when mode is PVC"),
    ],
)
def test_a_wrong_spec_is_refused_with_a_sentence(refused, spec, sentence):
    assert sentence in refused.refusal(manifest("wrong", **spec))
    assert refused.get("llmservice", "wrong") is None


def test_a_name_that_leaves_no_room_for_host_names_is_refused(refused):
    said = refused.refusal(manifest("a" * 41))
    assert "at most 40 characters" in said


def test_what_the_api_server_cannot_see_is_told_in_the_status(refused):
    refused.apply(manifest("nowhere", model={"uri": "hf://no-repository", "name": "x"}))
    condition = refused.wait_until(
        "Accepted is False",
        lambda: (
            found
            if (found := refused.condition("nowhere", "Accepted")).get("status") == "False"
            else None
        ),
        "nowhere",
    )
    assert condition["reason"] == "InvalidModel"
    assert "write hf://organisation/name" in condition["message"]
    assert refused.condition("nowhere", "Ready")["status"] == "False"
    assert refused.pods("nowhere") == []
    refused.apply(manifest("nowhere", replicas=0))
    refused.wait_until(
        "the mended spec is accepted",
        lambda: refused.condition("nowhere", "Accepted").get("status") == "True",
        "nowhere",
    )
