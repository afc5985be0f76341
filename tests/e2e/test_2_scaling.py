"""Replicas come and go with the scale subresource, and a rollout survives the operator's death."""

import pytest
from support.traffic import Traffic

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480, func_only=True)]


def leader_addresses(space, service):
    slices = space.cluster.get(
        "endpointslices",
        f"--selector=kubernetes.io/service-name={service}",
        f"--namespace={space.namespace}",
    )
    return {
        address
        for one in slices["items"]
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    }


def revision_of(pod):
    return pod["metadata"]["labels"]["serving.radixloom.dev/revision"]


def test_scaling_up_adds_a_slice_that_serves(space, served):
    space.kubectl("scale", "llmservice", served, "--replicas=2")
    space.wait_ready(served)
    assert space.status(served)["readyReplicas"] == 2
    assert len(space.pods(served)) == 2
    assert len(leader_addresses(space, served)) == 2


def test_a_rollout_fails_no_request_and_survives_the_operators_death_in_its_middle(
    space, served, installation
):
    before = {pod["metadata"]["uid"] for pod in space.pods(served)}
    (old,) = {revision_of(pod) for pod in space.pods(served)}
    with Traffic(space, served) as traffic:
        change = {"engine": {"env": [{"name": "E2E_ROLLOUT", "value": "2"}]}}
        space.patch("llmservice", served, {"spec": change})
        space.wait_until(
            "the first slice is replaced, the second is not",
            lambda: sorted(revision_of(pod) == old for pod in space.pods(served)) == [False, True],
            served,
        )
        installation.kill_operator()
        space.wait_ready(served)
    pods = space.pods(served)
    assert len(pods) == 2
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in pods)
    assert old not in {revision_of(pod) for pod in pods}
    for pod in pods:
        environment = pod["spec"]["containers"][0]["env"]
        assert {"name": "E2E_ROLLOUT", "value": "2"} in environment
    assert space.status(served)["updatedReplicas"] == 2
    assert traffic.answered > 0
    assert traffic.failures == []


def test_scaling_down_removes_the_last_slice_and_keeps_the_first(space, served):
    first, last = space.pods(served)
    space.kubectl("scale", "llmservice", served, "--replicas=1")
    space.wait_until(
        "the second slice is gone",
        lambda: (
            [pod["metadata"]["uid"] for pod in space.pods(served)] == [first["metadata"]["uid"]]
            and space.get("statefulset", f"{served}-s1") is None
        ),
        served,
    )
    space.wait_until(
        "no endpoint leads to the second slice",
        lambda: leader_addresses(space, served) == {first["status"]["podIP"]},
        served,
    )
    space.wait_ready(served, timeout_seconds=30)
    assert space.status(served)["replicas"] == 1
    assert space.answer(served, "Are you still there?")
    assert last["metadata"]["uid"] != first["metadata"]["uid"]
