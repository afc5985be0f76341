"""What dies comes back, and what is changed by hand is put right."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420, func_only=True)]


def test_a_killed_pod_comes_back_and_serves(space, served):
    (pod,) = space.pods(served)
    space.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    space.wait_until(
        "the service says that it is not ready",
        lambda: space.condition(served, "Ready").get("status") == "False",
        served,
    )
    space.wait_ready(served)
    (successor,) = space.pods(served)
    assert successor["metadata"]["uid"] != pod["metadata"]["uid"]
    assert space.answer(served, "Are you back?")


def test_a_killed_engine_process_restarts_its_container(space, served):
    (pod,) = space.pods(served)
    name = pod["metadata"]["name"]
    # PID 1 is the server; the engine is its only child.
    script = (
        "import os, signal; children = open('/proc/1/task/1/children').read().split();"
        " [os.kill(int(child), signal.SIGKILL) for child in children]"
    )
    space.kubectl("exec", name, "--", "/opt/radixloom/bin/python", "-c", script)

    def restarted():
        (again,) = space.pods(served)
        (container,) = again["status"]["containerStatuses"]
        return container["restartCount"] == 1 and container["ready"]

    space.wait_until("the container runs again", restarted, served, timeout_seconds=240)
    space.wait_ready(served)
    assert space.answer(served, "Are you back?")


@pytest.mark.parametrize(
    "kind", ["service", "poddisruptionbudget", "serviceaccount", "networkpolicy"]
)
def test_a_deleted_object_is_made_again(space, served, kind):
    uid = space.get(kind, served)["metadata"]["uid"]
    space.kubectl("delete", kind, served)
    again = space.wait_until(f"{kind} is back", lambda: space.get(kind, served), served)
    assert again["metadata"]["uid"] != uid


@pytest.mark.parametrize(
    ("kind", "suffix", "path", "wrong"),
    [
        ("service", "", ("spec", "selector"), {"apps.kubernetes.io/pod-index": "7"}),
        ("service", "-hosts", ("spec", "publishNotReadyAddresses"), False),
        ("poddisruptionbudget", "", ("spec", "maxUnavailable"), 9),
    ],
)
def test_an_object_edited_by_hand_is_put_right(space, served, kind, suffix, path, wrong):
    name = served + suffix
    section, field = path
    right = space.get(kind, name)[section][field]
    space.patch(kind, name, {section: {field: wrong}})
    space.wait_until(
        f"{kind}/{name} has its {field} again",
        lambda: space.get(kind, name)[section].get(field) == right,
        served,
    )


def test_what_others_add_to_an_object_stays(space, served):
    right = space.get("service", served)["spec"]["selector"]
    note = {"metadata": {"annotations": {"example.com/note": "kept"}}}
    space.patch("service", served, note)
    space.patch("service", served, {"spec": {"selector": {"apps.kubernetes.io/pod-index": "7"}}})
    space.wait_until(
        "our field is put right",
        lambda: space.get("service", served)["spec"]["selector"] == right,
        served,
    )
    assert space.get("service", served)["metadata"]["annotations"]["example.com/note"] == "kept"
