"""The status, by table."""

import dataclasses

import pytest
from support.kubernetes_objects import (
    CRASHING,
    IMAGE_MISSING,
    LOADING,
    NOT_READY,
    OWNER_UID,
    pod,
    statefulset,
    unschedulable,
)

from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.api.validation import Problem
from radixloom_operator.conditions import Facts
from radixloom_operator.observed import Observed, World, observe
from radixloom_operator.status import accepted_status, refused_status, to_manifest
from radixloom_runtime.topology import Generation, cpu_slice, tpu_slice

NONE = LLMServiceStatus()
FACTS = Facts(
    name="chat",
    generation=3,
    replicas=1,
    revision="new",
    wanted_revision="new",
    is_paused=False,
    model_name="acme/tiny",
    url="http://chat.default.svc:8000/v1",
    hardware=cpu_slice(),
)
SETTLED = NONE.model_copy(update={"current_revision": "old", "update_revision": "old"})


def seen(*slices) -> Observed:
    """Observe slices given as (revision, pod status), one pod each."""
    statefulsets, pods = [], []
    for index, one in enumerate(slices):
        if one is None:
            continue
        revision, pod_status = one
        statefulsets.append(statefulset(index, revision=revision))
        pods.append(pod(index, revision=revision, status=pod_status))
    return observe(World(tuple(statefulsets), tuple(pods)), owner_uid=OWNER_UID)


def told(observed: Observed, before: LLMServiceStatus = NONE, **facts) -> LLMServiceStatus:
    return accepted_status(
        dataclasses.replace(FACTS, **facts), observed, before, {}, now="2026-01-01T00:00:00Z"
    )


def answers(status: LLMServiceStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


NEW = ("new", None)
OLD = ("old", None)


@pytest.mark.parametrize(
    ("slices", "facts", "progressing", "ready", "degraded"),
    [
        ([NEW], {}, ("False", "Complete"), ("True", "Serving"), "False"),
        ([None], {}, ("True", "Pending"), ("False", "Pending"), "False"),
        ([("new", LOADING)], {}, ("True", "LoadingModel"), ("False", "LoadingModel"), "False"),
        (
            [("new", unschedulable("2 Insufficient google.com/tpu"))],
            {},
            ("True", "InsufficientTPU"),
            ("False", "InsufficientTPU"),
            "False",
        ),
        (
            [("new", CRASHING)],
            {},
            ("False", "CrashLoopBackOff"),
            ("False", "CrashLoopBackOff"),
            "True",
        ),
        (
            [("new", IMAGE_MISSING)],
            {},
            ("False", "ImagePullBackOff"),
            ("False", "ImagePullBackOff"),
            "True",
        ),
        ([("new", NOT_READY)], {}, ("True", "NotReady"), ("False", "NotReady"), "True"),
        ([NEW, ("new", LOADING)], {"replicas": 2}, ("True", "LoadingModel"), None, "False"),
        ([NEW, ("new", CRASHING)], {"replicas": 2}, ("False", "CrashLoopBackOff"), None, "True"),
        ([], {"replicas": 0}, ("False", "Complete"), ("False", "ScaledToZero"), "False"),
        ([NEW, NEW], {}, ("True", "ScalingDown"), ("True", "Serving"), "False"),
    ],
)
def test_first_start_is_told_truthfully(slices, facts, progressing, ready, degraded):
    found = answers(told(seen(*slices), **facts))
    assert found["Accepted"] == ("True", "Accepted")
    assert found["Progressing"] == progressing
    assert found["Ready"] == (ready or ("False", progressing[1]))
    assert found["Degraded"][0] == degraded


@pytest.mark.parametrize(
    ("slices", "facts", "progressing", "ready"),
    [
        ([OLD, OLD], {}, ("True", "RollingOut"), ("False", "RollingOut")),
        ([OLD, ("new", LOADING)], {}, ("True", "RollingOut"), ("False", "RollingOut")),
        ([OLD, NEW], {}, ("True", "RollingOut"), ("False", "RollingOut")),
        (
            [OLD, ("new", CRASHING)],
            {},
            ("False", "CrashLoopBackOff"),
            ("False", "CrashLoopBackOff"),
        ),
        ([OLD, OLD], {"is_paused": True}, ("False", "Paused"), ("False", "Paused")),
        ([NEW, NEW], {"is_paused": True}, ("False", "Complete"), ("True", "Serving")),
        ([NEW, NEW], {}, ("False", "Complete"), ("True", "Serving")),
    ],
)
def test_rollout_is_told_truthfully(slices, facts, progressing, ready):
    found = answers(told(seen(*slices), SETTLED, replicas=2, **facts))
    assert (found["Progressing"], found["Ready"]) == (progressing, ready)


def test_counts_follow_what_exists():
    status = told(seen(OLD, NEW, ("new", LOADING)), SETTLED, replicas=3)
    assert (status.replicas, status.ready_replicas, status.updated_replicas) == (3, 2, 2)
    assert [one.phase for one in status.slices] == ["Ready", "Ready", "Starting"]


def test_current_revision_moves_when_the_rollout_is_complete():
    assert told(seen(OLD, NEW), SETTLED, replicas=2).current_revision == "old"
    assert told(seen(NEW, NEW), SETTLED, replicas=2).current_revision == "new"


def test_what_the_api_server_refused_is_told_in_every_answer_it_concerns():
    failure = Problem("ApplyRefused", 'quota "pods" exceeded')
    found = told(seen(None), failure=failure)
    concerned = [
        one for one in found.conditions if one.type in ("Progressing", "Ready", "Degraded")
    ]
    assert len(concerned) == 3
    for one in concerned:
        assert one.reason == "ApplyRefused"
        assert "quota" in one.message


def test_slice_is_told_in_numbers_and_in_words():
    info = told(seen(NEW), hardware=tpu_slice(Generation.V5E, "2x4", 4)).slice
    assert info is not None
    assert info.summary == "v5e 2x4 (2 hosts x 4 chips)"
    assert (info.accelerator, info.chips, info.hosts, info.chips_per_host) == (
        "v5litepod-8",
        8,
        2,
        4,
    )


def test_time_of_an_answer_stays_while_the_answer_stays():
    before = told(seen(("new", LOADING)))
    later = accepted_status(FACTS, seen(("new", CRASHING)), before, {}, now="2026-01-01T00:01:00Z")
    times = {one.type: one.last_transition_time for one in later.conditions}
    assert times["Ready"] == "2026-01-01T00:00:00Z"  # False then and now
    assert times["Degraded"] == "2026-01-01T00:01:00Z"


def test_the_same_world_makes_the_same_status():
    before = told(seen(NEW))
    assert accepted_status(FACTS, seen(NEW), before, {}, now="2030-01-01T00:00:00Z") == before


def test_a_refused_spec_keeps_telling_what_goes_on():
    before = told(seen(NEW))
    problem = Problem("InvalidTopology", "no such slice")
    status = refused_status(problem, 4, seen(NEW), before, now="2026-01-02T00:00:00Z")
    found = answers(status)
    assert found["Accepted"] == ("False", "InvalidTopology")
    assert found["Ready"][0] == "False"
    assert status.ready_replicas == 1
    assert status.observed_generation == 4
    assert status.url == before.url


def test_status_survives_the_way_through_the_api_server():
    status = told(seen(NEW, ("new", CRASHING)), replicas=2)
    assert LLMServiceStatus.model_validate(to_manifest(status)) == status
