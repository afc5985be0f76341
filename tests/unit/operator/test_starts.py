"""What a start took: of its pod, and of its leader's own report over HTTP."""

import json

import pytest
from support.kubernetes_objects import OWNER_UID, READY, pod, statefulset
from support.leader import REPORT

from radixloom_operator.api.status_types import LLMServiceStatus, SliceStartup, SliceStatus
from radixloom_operator.leaders import Leaders
from radixloom_operator.observed import Observed, World, observe
from radixloom_operator.starts import startups


def started(port: int, *, second: int = 20, is_ready: bool = True) -> Observed:
    """Observe a slice whose leader was created at second 0 and started at `second`."""

    def time(seconds: int) -> str:
        return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"

    status = {
        **READY,
        "podIP": "127.0.0.1",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(4)},
            {
                "type": "Ready",
                "status": "True" if is_ready else "False",
                "lastTransitionTime": time(second + 30),
            },
        ],
        "containerStatuses": [
            {**READY["containerStatuses"][0], "state": {"running": {"startedAt": time(second)}}}
        ],
    }
    one = pod(0, status=status)
    one["metadata"]["creationTimestamp"] = time(0)
    ports = [{"name": "http", "containerPort": port}]
    one["spec"] = {"containers": [{"name": "engine", "ports": ports}]}
    return observe(World((statefulset(0),), (one,)), owner_uid=OWNER_UID)


def status_with(startup: SliceStartup) -> LLMServiceStatus:
    one = SliceStatus(
        index=0,
        phase="Ready",
        reason="Ready",
        revision="new",
        ready_hosts=1,
        restarts=0,
        startup=startup,
    )
    return LLMServiceStatus(slices=(one,))


NONE = LLMServiceStatus()


def test_a_start_is_told_phase_by_phase(leader):
    port = leader.port
    told = startups(started(port), NONE, Leaders())[0]
    assert told == SliceStartup(
        started="2026-01-01T00:00:20Z",
        scheduled_seconds=4.0,
        weights_seconds=12.3,
        compile_seconds=5.1,
        total_seconds=50.0,
        compile_cache_hit=True,
    )
    assert leader.asked == ["/startupz"]


def test_one_step_that_was_compiled_is_no_hit(leader):
    leader.startup = (200, json.dumps({**REPORT, "compile_cache_hits": 7}).encode())
    told = startups(started(leader.port), NONE, Leaders())[0]
    assert told.compile_cache_hit is False


def test_a_start_that_is_told_is_not_asked_of_again_and_another_is(leader):
    port = leader.port
    first = startups(started(port), NONE, Leaders())[0]
    assert startups(started(port), status_with(first), Leaders())[0] == first
    assert len(leader.asked) == 1
    again = startups(started(port, second=90), status_with(first), Leaders())[0]
    assert again.started == "2026-01-01T00:01:30Z"
    assert len(leader.asked) == 2


def test_who_starts_again_keeps_its_last_start_until_it_is_ready(leader):
    port = leader.port
    first = startups(started(port), NONE, Leaders())[0]
    now = started(port, second=90, is_ready=False)
    assert startups(now, status_with(first), Leaders()) == {0: first}
    assert startups(now, NONE, Leaders()) == {}
    assert len(leader.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"no json"),
        (200, b"{}"),
        (200, b'{"start_seconds": "long"}'),
        (302, b""),
        (500, b"oops"),
        (200, b" " * (1 << 17)),
    ],
)
def test_a_leader_that_answers_otherwise_is_told_by_its_pod_alone(leader, answer):
    leader.startup = answer
    told = startups(started(leader.port), NONE, Leaders())[0]
    assert (told.weights_seconds, told.compile_cache_hit) == (None, None)
    assert told.total_seconds == 50.0


def test_a_leader_that_cannot_be_reached_is_told_by_its_pod_alone():
    told = startups(started(9), NONE, Leaders())[0]
    assert (told.compile_seconds, told.scheduled_seconds) == (None, 4.0)
