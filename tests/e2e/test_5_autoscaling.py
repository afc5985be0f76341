"""Replicas follow the load of real leaders, and are left to another autoscaler if there is one."""

import threading
from contextlib import contextmanager

import pytest
from openai import OpenAIError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240, func_only=True)]

POLICY = {
    "maxReplicas": 2,
    "target": {"metric": "OngoingRequests", "value": 2},
    "scaleDown": {"stabilizationSeconds": 4},
}


@contextmanager
def four_clients(space, service):
    """Keep four requests going for as long as the block lasts."""
    enough = threading.Event()

    def ask():
        with space.client(service) as client:
            while not enough.is_set():
                try:
                    client.completions.create(model="smollm2", prompt="Once", max_tokens=64)
                except OpenAIError:  # a slice that goes may end one; that is not this test's affair
                    enough.wait(0.2)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def replicas(space, service):
    return space.get("llmservice", service)["spec"]["replicas"]


@pytest.fixture
def scaled(space, served):
    """The shared service with two replicas that nobody owns through /scale, and autoscaling."""
    space.patch("llmservice", served, {"spec": {"replicas": 2, "autoscaling": POLICY}})
    yield served
    space.patch("llmservice", served, {"spec": {"replicas": 1, "autoscaling": None}})
    space.wait_until("one pod is left", lambda: len(space.pods(served)) == 1, served)
    space.wait_ready(served)


def test_replicas_go_down_without_load_and_up_with_it(space, scaled):
    space.wait_until("idle, one replica is left", lambda: replicas(space, scaled) == 1, scaled)
    with four_clients(space, scaled):
        space.wait_until("under load, there are two", lambda: replicas(space, scaled) == 2, scaled)
        told = space.status(scaled)["autoscaling"]
        assert told["metric"] == "OngoingRequests"
        assert told["desiredReplicas"] == 2
    space.wait_until("idle again, one is left", lambda: replicas(space, scaled) == 1, scaled)
    assert space.condition(scaled, "AutoscalingActive")["status"] == "True"


def test_another_autoscaler_is_left_alone(space, scaled):
    space.wait_until("idle, one replica is left", lambda: replicas(space, scaled) == 1, scaled)
    space.kubectl("scale", "llmservice", scaled, "--replicas=2")  # as an HPA does, through /scale
    space.wait_until(
        "the condition names the other",
        lambda: (
            space.condition(scaled, "AutoscalingActive").get("reason") == "ReplicasOwnedElsewhere"
        ),
        scaled,
    )
    assert "kubectl (through /scale)" in space.condition(scaled, "AutoscalingActive")["message"]
    assert replicas(space, scaled) == 2
