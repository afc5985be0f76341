"""Replicas that follow the load, from a leader's /metrics to /scale."""

from datetime import timedelta

import pytest
from support.kubernetes_objects import READY
from support.play import PERIOD_SECONDS, Play

from radixloom_operator.errors import ClusterError

SERVING = {**READY, "podIP": "127.0.0.1"}
"""Of a pod on this machine; its port is that of the leader at hand."""
POLICY = {
    "maxReplicas": 3,
    "target": {"metric": "OngoingRequests", "value": 10},
    "scaleDown": {"stabilizationSeconds": 60},
}


class Busy(Play):
    """A service whose slices all tell the load of one leader."""

    def begin(self, leader, **spec) -> None:
        change = {"spec.autoscaling": POLICY, "spec.engine.port": leader.port}
        self.apply(change | {f"spec.{name}": value for name, value in spec.items()})
        self.settle_serving()

    def settle_serving(self, turns: int = 4) -> None:
        for _ in range(turns):
            self.turn()
            self.store.run_statefulsets(status=SERVING)

    def look(self) -> None:
        """Wait for a period, measure and settle."""
        self.now += timedelta(seconds=PERIOD_SECONDS)
        self.turn(seconds=0)
        self.store.run_statefulsets(status=SERVING)

    @property
    def replicas(self) -> int:
        return self.store.find("llmservices", "chat")["spec"].get("replicas", 1)

    def scales(self) -> int:
        return sum(write.endswith("/scale") for write in self.store.writes)


@pytest.fixture
def play(server) -> Busy:
    return Busy(server)


def test_load_adds_slices_and_their_rest_takes_them_away(play, leader):
    play.begin(leader)
    leader.be_busy(25)
    play.look()
    assert play.replicas == 3
    leader.be_busy(8)  # each of the three
    play.settle_serving()
    assert play.status("readyReplicas") == 3
    assert play.status("autoscaling") == {
        "metric": "OngoingRequests",
        "value": 8,
        "desiredReplicas": 3,
        "reason": "AtTarget",
        "lastScaleTime": "2026-01-01T00:00:19Z",
    }
    leader.be_busy(0)
    play.look()
    assert play.status("autoscaling")["pending"]["replicas"] == 1
    for _ in range(60 // PERIOD_SECONDS):
        assert play.replicas == 3
        play.look()
    assert play.replicas == 1
    assert play.condition("AutoscalingActive") == ("True", "Active")
    assert play.told().count("Autoscaled") == 2


def test_a_steady_load_costs_no_writes(play, leader):
    play.begin(leader)
    leader.be_busy(9)
    play.look()
    before = len(play.store.writes)
    for _ in range(5):
        play.look()
    assert play.store.writes[before:] == []


def test_a_load_that_changes_is_written_once_a_period(play, leader):
    play.begin(leader)
    leader.be_busy(9)
    play.look()
    before = len(play.store.writes)
    for requests in (8, 7, 6):
        leader.be_busy(requests)
        play.turn(seconds=1)  # as the watch of the status brings about
    assert play.store.writes[before:] == []


def test_another_writer_of_scale_is_left_alone_and_named(play, leader):
    play.begin(leader)
    service = play.store.find("llmservices", "chat")
    service["metadata"]["managedFields"] = [
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]
    service["spec"]["replicas"] = 2
    leader.be_busy(100)
    for _ in range(3):
        play.look()
    assert (play.replicas, play.scales()) == (2, 0)
    assert play.condition("AutoscalingActive") == ("False", "ReplicasOwnedElsewhere")
    assert play.status("autoscaling")["owner"] == "kube-controller-manager (through /scale)"
    assert play.told().count("ReplicasOwnedElsewhere") == 1


def test_a_leader_that_tells_nothing_takes_no_slice_away(play, leader):
    play.begin(leader, replicas=3)
    leader.metrics = (500, b"")
    for _ in range(20):
        play.look()
    assert play.replicas == 3
    assert play.condition("AutoscalingActive") == ("False", "LoadUnknown")


def test_replicas_that_somebody_wrote_meanwhile_are_not_overwritten(play, leader):
    play.begin(leader)
    leader.be_busy(25)

    def interfere(method, path, number):
        if path.endswith("/scale"):
            service = play.store.find("llmservices", "chat")
            service["metadata"]["resourceVersion"] = "newer"
            service["spec"]["replicas"] = 2

    play.store.fault = interfere
    with pytest.raises(ClusterError, match="has been modified"):
        play.look()
    assert play.replicas == 2


def test_a_right_that_is_missing_is_told(play, leader):
    play.begin(leader)
    leader.be_busy(25)
    play.store.fault = lambda method, path, number: 403 if path.endswith("/scale") else None
    play.look()
    assert play.replicas == 1
    assert play.condition("Degraded") == ("True", "ApplyRefused")
    assert "lastScaleTime" not in play.status("autoscaling")


def test_without_autoscaling_nobody_is_asked_and_nothing_is_told(play, leader):
    play.begin(leader, autoscaling=None)
    leader.asked.clear()
    play.look()
    assert leader.asked == []
    assert "autoscaling" not in play.store.find("llmservices", "chat")["status"]
