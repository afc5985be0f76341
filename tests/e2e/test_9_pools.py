"""A Gateway's pool is applied where its kinds are installed, and told of where they are not."""

import json

import pytest
from support.object_schema import GATEWAY_CRDS
from support.space import manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180, func_only=True)]

POOLED = "pooled"
ROUTING = {
    "mode": "InferencePool",
    "inferencePool": {
        "endpointPicker": {"name": "picker", "failureMode": "FailOpen"},
        "gateways": [{"name": "inference", "namespace": "gateways"}],
        "hostnames": ["chat.example.com"],
    },
}


def told(space):
    return space.condition(POOLED, "InferencePoolAccepted").get("reason")


@pytest.fixture
def pooled(cluster, installation, space):
    """A service without replicas whose pool has a kind that the cluster lacks."""
    names = [crd["metadata"]["name"] for crd in GATEWAY_CRDS]
    if any(cluster.get("crd", name) for name in names):
        pytest.skip("the cluster has Gateways of its own")
    space.apply(manifest(POOLED, replicas=0, routing=ROUTING))
    yield POOLED
    space.kubectl("delete", "llmservice", POOLED, "--ignore-not-found", timeout_seconds=90)
    cluster.kubectl("delete", "crd", *names, "--ignore-not-found", timeout_seconds=90)


def test_a_pool_follows_its_kinds_its_gateway_and_the_spec(cluster, space, pooled):
    space.wait_until("the kinds are missed", lambda: told(space) == "CustomResourceMissing", pooled)
    assert space.get("service", pooled)
    cluster.apply(*GATEWAY_CRDS)
    space.wait_until("the pool is there", lambda: told(space) == "NoGateway", pooled)
    pool = space.get("inferencepool", pooled)
    assert pool["spec"]["endpointPickerRef"]["failureMode"] == "FailOpen"
    (rule,) = space.get("httproute", pooled)["spec"]["rules"]
    assert rule["backendRefs"][0]["kind"] == "InferencePool"
    _accept(space)
    space.patch("llmservice", pooled, {"spec": {"replicas": 0, "paused": True}})  # a turn, now
    space.wait_until("a Gateway has it", lambda: told(space) == "Accepted", pooled)
    routing = {"mode": "Service", "inferencePool": None}
    space.patch("llmservice", pooled, {"spec": {"routing": routing}})
    space.wait_until("no pool", lambda: space.get("inferencepool", pooled) is None, pooled)
    assert space.get("httproute", pooled) is None


def _accept(space):
    """Write into the pool what a Gateway writes."""
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    parent = {"parentRef": {"name": "inference"}, "conditions": [condition]}
    change = json.dumps({"status": {"parents": [parent]}})
    space.kubectl(
        "patch", "inferencepool", POOLED, "--subresource=status", "--type=merge", "--patch", change
    )
