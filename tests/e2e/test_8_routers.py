"""Requests go through routers, wait in them for the first replica, and outlive their coming and
going."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.space import manifest
from support.traffic import Traffic

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480, func_only=True)]

ROUTED = "routed"


def selects_routers(space):
    selector = space.get("service", ROUTED)["spec"]["selector"]
    return set(selector) == {"serving.radixloom.dev/router"}


def is_routed(space):
    return space.condition(ROUTED, "RouterAvailable").get("status") == "True" and selects_routers(
        space
    )


@pytest.fixture(scope="module")
def routed(installation, space):
    """A service with routers and, at first, no replica."""
    space.apply(manifest(ROUTED, replicas=0, routing={"mode": "Router"}))
    space.wait_until("routers serve", lambda: is_routed(space), ROUTED, timeout_seconds=240)
    yield ROUTED
    space.kubectl("delete", "llmservice", ROUTED, "--ignore-not-found", timeout_seconds=90)
    space.wait_until("nothing is left", lambda: not space.owned(ROUTED), ROUTED)


def test_a_request_waits_in_a_router_for_the_first_replica(space, routed):
    with ThreadPoolExecutor(1) as pool:

        def ask():
            with space.client(routed) as client:
                return client.with_options(timeout=290).chat.completions.create(
                    model="smollm2", messages=[{"role": "user", "content": "Hello"}], max_tokens=4
                )

        held = pool.submit(ask)
        space.kubectl("scale", "llmservice", routed, "--replicas=1")
        assert held.result().choices[0].message.content
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
