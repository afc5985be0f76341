"""One word for what a pod is doing, which stays the same while it does it."""

import pytest
from support.kubernetes_objects import (
    CRASHING,
    CREATING,
    IMAGE_MISSING,
    LOADING,
    NOT_READY,
    READY,
    RUNNING,
    engine,
    pod,
    unschedulable,
)

from radixloom_operator.pod_state import PodReason, is_ready, pod_state, restarts

NO_TPU = "0/2 nodes are available: 2 Insufficient google.com/tpu. preemption: 0/2 nodes …"
NO_NODE = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. more."
EXIT = {"exitCode": 137, "reason": "OOMKilled"}


def init(state, *, restarts=0, last=None):
    return {
        "phase": "Pending",
        "initContainerStatuses": [
            {
                "name": "fetch",
                "image": "runtime:1",
                "state": state,
                "lastState": {"terminated": last} if last else {},
                "restartCount": restarts,
            }
        ],
        "containerStatuses": [
            {"name": "engine", "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    }


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("status", "reason", "part"),
    [
        (READY, PodReason.READY, "is ready"),
        (LOADING, PodReason.LOADING, "loading and compiling"),
        (NOT_READY, PodReason.NOT_READY, "no step of its engine"),
        (CREATING, PodReason.PENDING, "waiting for its volumes"),
        ({"phase": "Pending"}, PodReason.PENDING, "waiting"),
        (unschedulable(NO_TPU), PodReason.NO_TPU, "2 Insufficient google.com/tpu"),
        (unschedulable(NO_NODE), PodReason.UNSCHEDULABLE, "didn't match"),
        (IMAGE_MISSING, PodReason.IMAGE, "runtime:1"),
        (engine(waiting("ErrImageNeverPull", "not present")), PodReason.IMAGE, "not present"),
        (
            engine(waiting("CreateContainerConfigError", 'secret "hub" not found')),
            PodReason.CONTAINER_CONFIG,
            'secret "hub" not found',
        ),
        (CRASHING, PodReason.CRASH, "model broken; fetch it again"),
        (engine(RUNNING, restarts=2, last=EXIT), PodReason.CRASH, "code 137 (OOMKilled)"),
        (engine({"terminated": EXIT}), PodReason.RESTARTING, "OOMKilled"),
        (engine({"terminated": EXIT}, restarts=1), PodReason.CRASH, "OOMKilled"),
        (engine(RUNNING, restarts=1, last=EXIT), PodReason.LOADING, "loading"),
        (engine(RUNNING, restarts=9, started=True, ready=True), PodReason.READY, "ready"),
        (init(RUNNING), PodReason.FETCHING, "fetching"),
        (init({"terminated": {"exitCode": 1}}), PodReason.FETCHING, "fetching"),
        (
            init(waiting("CrashLoopBackOff"), restarts=3, last={"exitCode": 1, "message": "404"}),
            PodReason.FETCH_FAILED,
            "404",
        ),
        (init({"terminated": {"exitCode": 0}}, restarts=5), PodReason.PENDING, "waiting"),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, PodReason.FAILED, "Evicted"),
        ({"phase": "Failed"}, PodReason.FAILED, "no reason given"),
        ({}, PodReason.PENDING, "waiting"),
    ],
)
def test_situation_is_told(status, reason, part):
    state = pod_state(pod(0, status=status))
    assert state.reason is reason
    assert part in state.message


def test_a_pod_that_waits_names_the_secret_that_may_be_missing():
    waiting_pod = pod(0, status=CREATING)
    items = [{"key": "keys.txt", "path": "keys"}]
    secret = {"secretName": "clients", "items": items}
    waiting_pod["spec"] = {"volumes": [{"name": "api-keys", "secret": secret}]}
    message = pod_state(waiting_pod).message
    assert message.endswith("network; Secret clients must have the key keys.txt")


def test_a_pod_on_its_way_out_is_draining_whatever_its_containers_do():
    ending = pod(0, is_ending=True)
    assert pod_state(ending).reason is PodReason.DRAINING
    assert not is_ready(ending)


def test_a_crash_loop_is_told_in_the_same_words_all_through():
    # What the kubelet shows in turn while a container crashes again and again.
    turns = [
        engine(waiting("CrashLoopBackOff", "back-off 10s"), restarts=2, last=EXIT),
        engine(RUNNING, restarts=3, last=EXIT),
        engine({"terminated": EXIT}, restarts=3, last=EXIT),
        engine(waiting("CrashLoopBackOff", "back-off 20s"), restarts=3, last=EXIT),
    ]
    assert len({pod_state(pod(0, status=turn)) for turn in turns}) == 1


def test_a_failing_pull_is_told_in_the_same_words_all_through():
    why = "not found: registry.example/x:1"
    turns = [
        engine(waiting("ErrImagePull", why)),
        engine(waiting("ImagePullBackOff", f'Back-off pulling image "x:1": ErrImagePull: {why}')),
    ]
    assert len({pod_state(pod(0, status=turn)) for turn in turns}) == 1


def test_a_model_that_does_not_fit_is_told_from_the_first_time_on_in_the_same_words():
    # The engine's last lines, as the kubelet keeps them for a container that failed.
    problem = "weights of 15.26 GiB are wanted on each device; take a larger slice"
    lines = f"engine.cannot_serve\nradixloom: InsufficientHBM: {problem}\n"
    ended = {"exitCode": 2, "reason": "Error", "message": lines}
    turns = [
        engine({"terminated": ended}),
        engine(RUNNING, restarts=1, last=ended),
        engine(waiting("CrashLoopBackOff", "back-off 10s"), restarts=2, last=ended),
    ]
    (state,) = {pod_state(pod(0, status=turn)) for turn in turns}
    assert state.reason is PodReason.NO_HBM
    assert state.message.endswith(f": {problem}")


def test_a_model_that_fits_after_all_is_told_as_serving():
    ended = {"exitCode": 2, "message": "radixloom: InsufficientHBM: once"}
    serving = engine(RUNNING, restarts=3, started=True, ready=True, last=ended)
    assert pod_state(pod(0, status=serving)).reason is PodReason.READY


def test_a_long_message_is_cut():
    status = engine(waiting("ErrImagePull", "x" * 5000))
    assert len(pod_state(pod(0, status=status)).message) < 500


def test_restarts_are_those_of_the_engine():
    assert restarts(pod(0, status=engine(RUNNING, restarts=4))) == 4
    assert restarts(pod(0, status={})) == 0
