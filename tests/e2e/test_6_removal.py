"""Deleting a service leaves nothing; removing the operator leaves everything."""

import pytest
from support.space import manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300, func_only=True)]


def test_without_the_operator_serving_goes_on(space, served, installation):
    (pod,) = space.pods(served)
    installation.uninstall()
    assert space.get("llmservice", served) is not None
    assert space.answer(served, "Who looks after you?")
    installation.install()
    # A new operator finds everything as it wants it, and touches no pod.
    space.kubectl("annotate", "llmservice", served, "example.com/nudge=1")
    space.wait_ready(served, timeout_seconds=60)
    (same,) = space.pods(served)
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    assert (
        same["status"]["containerStatuses"][0]["restartCount"]
        == (pod["status"]["containerStatuses"][0]["restartCount"])
    )


def test_a_service_can_be_deleted_while_the_operator_is_away(spaces, installation):
    space = spaces("e2e-removed")
    space.apply(manifest("gone", replicas=0))
    space.wait_until("its objects are there", lambda: space.owned("gone"), "gone")
    installation.uninstall()
    space.kubectl("delete", "llmservice", "gone", "--timeout=30s")
    space.wait_until("nothing is left", lambda: space.owned("gone") == [], "gone")
    installation.install()


def test_deleting_a_service_leaves_nothing(space, served):
    assert space.owned(served)
    space.kubectl("delete", "llmservice", served, "--timeout=120s", timeout_seconds=150)
    space.wait_until("nothing is left", lambda: space.owned(served) == [], served)
