"""The page that `kubectl llm status` prints, of statuses as the operator writes them."""

import pytest
from support.kubernetes_objects import CRASHING, unschedulable
from support.play import Play

from radixloom_operator.plugin.report import report


@pytest.fixture
def play(server) -> Play:
    return Play(server)


def page(play) -> list[str]:
    service = play.store.find("llmservices", "chat")
    return [line.strip() for line in report(service).splitlines()]


def test_a_service_that_serves_is_told_in_few_lines(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    revision = play.status("currentRevision")
    assert page(play) == [
        "default/chat: ready at http://chat.default.svc:8000/v1",
        "model          acme/tiny",
        "slices         2 of 2 ready, each cpu x1",
        f"revision       {revision}",
        f"slice 0        Ready, revision {revision}",
        f"slice 1        Ready, revision {revision}",
    ]


def test_what_is_wrong_is_told_once(play):
    play.apply()
    for _ in range(4):
        play.turn()
        play.store.run_statefulsets(status=CRASHING)
    lines = page(play)
    assert lines[0] == "default/chat: not ready (CrashLoopBackOff), no answers"
    assert sum("model broken; fetch it again" in line for line in lines) <= 2
    assert any(line.startswith("Degraded") for line in lines)
    assert any(line.startswith("slice 0        Failed (CrashLoopBackOff)") for line in lines)


def test_a_slice_without_a_node_says_what_the_scheduler_says(play):
    play.apply()
    for _ in range(3):
        play.turn()
        play.store.run_statefulsets(status=unschedulable("0/3 nodes: Insufficient google.com/tpu"))
    assert any("Insufficient google.com/tpu" in line for line in page(play))


def test_a_change_under_way_names_both_revisions(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    before = play.status("currentRevision")
    play.apply({"spec.replicas": 2, "spec.engine.image": "runtime:2"})
    play.turn()
    after = play.status("updateRevision")
    assert f"revision       {before} -> {after}, 1 slices have it" in page(play)
    assert page(play)[0] == "default/chat: not ready (RollingOut), clients are answered"


def test_a_service_that_nobody_looked_at_is_told_as_such(play):
    play.apply()
    lines = page(play)
    assert lines[0] == "default/chat: no operator has looked at it yet"
    assert lines[-1].startswith("stale")


def test_load_is_told_where_replicas_follow_it(play):
    play.apply({"spec.autoscaling": {"maxReplicas": 2, "target": {"value": 4}}})
    play.settle()  # these pods have no address, so their load is unknown
    assert "load           OngoingRequests unknown; LoadUnknown, 1 wanted" in page(play)
