"""Requests go through routers, bring the first replica about and wait for it, and outlive the
routers' coming and going."""

import logging
import time

import pytest
from support.space import manifest
from support.traffic import Traffic

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480, func_only=True)]

ROUTED = "routed"


def selects_routers(space):
    selector = space.get("service", ROUTED)["spec"]["selector"]
    return set(selector) == {"serving.radixloom.dev/router"}


def is_routed(space):
    return space.condition(ROUTED, "RouterAvailable").get("status") == "True" and selects_routers(
        space
    )


def follows_load(space):
    return space.condition(ROUTED, "AutoscalingActive").get("status") == "True"


def replicas(space):
    return space.get("llmservice", ROUTED)["spec"]["replicas"]


@pytest.fixture(scope="module")
def routed(installation, space):
    """A service with routers that has replicas only while somebody asks; at first it has none."""
    autoscaling = {
        "minReplicas": 0,
        "maxReplicas": 1,
        "scaleToZeroAfterSeconds": 3,
        "target": {"value": 8},
    }
    routing = {"mode": "Router"}
    space.apply(manifest(ROUTED, replicas=0, routing=routing, autoscaling=autoscaling))
    space.wait_until("routers serve", lambda: is_routed(space), ROUTED, timeout_seconds=240)
    yield ROUTED
    space.kubectl("delete", "llmservice", ROUTED, "--ignore-not-found", timeout_seconds=90)
    space.wait_until("nothing is left", lambda: not space.owned(ROUTED), ROUTED)


def ask(space):
    """Ask as a client that knows nothing of replicas."""
    began = time.monotonic()
    with space.client(ROUTED) as client:
        answer = client.with_options(timeout=290).chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": "Hello"}], max_tokens=4
        )
    assert answer.choices[0].message.content
    log.info("answered after %.1f s", time.monotonic() - began)


def test_without_requests_there_is_no_replica_and_the_next_request_waits_for_one(space, routed):
    assert space.condition(routed, "Ready")["reason"] == "ScaledToZero"
    ask(space)
    space.wait_until("idle, it has none again", lambda: replicas(space) == 0, routed)
    ask(space)  # as the last one ends
    # a router hears of a ready leader before the operator does, which asks for its load then
    space.wait_until("replicas follow the load", lambda: follows_load(space), routed)
    space.patch("llmservice", routed, {"spec": {"replicas": 1, "autoscaling": None}})
    space.wait_ready(routed)


def test_losing_and_leaving_routers_fails_no_request(space, routed):
    space.wait_until(
        "an answer through routers", lambda: space.answer(routed, "Hello", max_tokens=1), routed
    )
    with Traffic(space, routed) as traffic:
        space.patch("llmservice", routed, {"spec": {"routing": {"mode": "Service"}}})
        space.wait_until(
            "no routers", lambda: space.get("deployment", "routed-router") is None, routed
        )
        assert not selects_routers(space)
        asked = traffic.answered
        space.wait_until("answers go on", lambda: traffic.answered > asked + 3, routed)
        space.patch("llmservice", routed, {"spec": {"routing": {"mode": "Router"}}})
        space.wait_until("routers again", lambda: is_routed(space), routed)
        asked = traffic.answered
        space.wait_until("answers go on", lambda: traffic.answered > asked + 3, routed)
    assert traffic.failures == []
