"""Replicas that follow the load, from a leader's /metrics to /scale."""

from datetime import timedelta

import pytest
from support.kubernetes_objects import READY
from support.play import KEY, PERIOD_SECONDS, Play

from radixloom_operator.errors import ClusterError
from radixloom_operator.naming import router_selector

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
        change: dict[str, object] = {
            "spec.autoscaling": POLICY,
            "spec.engine.port": leader.port,
        }
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


class Sleepy(Busy):
    """A service with a router, which may go to zero."""

    def begin_with(self, leader, router, **spec) -> None:
        policy = POLICY | {"minReplicas": 0, "scaleToZeroAfterSeconds": 60}
        path = "/api/v1/namespaces/default/pods/chat-router-1"
        self.store.objects[path] = {
            "metadata": {"name": "chat-router-1", "labels": router_selector("chat")},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": router.port}]}]},
            "status": {
                "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        self.begin(leader, autoscaling=policy, routing={"mode": "Router"}, **spec)

    def is_wanted(self) -> bool:
        return self.meter.sleepers.wanted() == [KEY]


@pytest.fixture
def sleepy(server) -> Sleepy:
    return Sleepy(server)


def test_the_last_slice_goes_when_nobody_asks_and_comes_back_for_a_request(sleepy, leader, router):
    sleepy.begin_with(leader, router)
    router.hold(0, idle_seconds=59)
    sleepy.look()
    assert (sleepy.replicas, sleepy.condition("Ready")) == (1, ("True", "Serving"))
    router.hold(0, idle_seconds=60)
    sleepy.look()
    sleepy.settle_serving()
    assert sleepy.store.names("statefulsets") == []
    assert sleepy.condition("Ready") == ("False", "ScaledToZero")
    assert sleepy.condition("Serving") == ("False", "ScaledToZero")
    assert sleepy.condition("AutoscalingActive") == ("True", "Active")
    assert sleepy.status("autoscaling")["reason"] == "Idle"
    assert sleepy.store.names("deployments") == ["chat-router"]
    assert not sleepy.is_wanted()
    router.hold(1)
    assert sleepy.is_wanted()
    sleepy.settle_serving()
    assert (sleepy.replicas, sleepy.condition("Ready")) == (1, ("True", "Serving"))
    assert not sleepy.is_wanted()
    assert sleepy.told().count("Autoscaled") == 2


def test_a_router_that_is_not_ready_is_asked_in_turns_alone(sleepy, leader, router):
    sleepy.begin_with(leader, router, replicas=0)
    (condition,) = sleepy.store.find("pods", "chat-router-1")["status"]["conditions"]
    condition["status"] = "False"
    sleepy.look()
    router.hold(1)
    assert not sleepy.is_wanted()
    sleepy.look()
    assert sleepy.replicas == 1


def test_a_service_that_sleeps_costs_no_writes(sleepy, leader, router):
    sleepy.begin_with(leader, router, replicas=0)
    sleepy.look()
    before = len(sleepy.store.writes)
    for _ in range(5):
        sleepy.look()
    assert sleepy.store.writes[before:] == []


def test_who_wrote_zero_through_scale_is_not_overruled_by_a_request(sleepy, leader, router):
    sleepy.begin_with(leader, router, replicas=0)
    sleepy.store.find("llmservices", "chat")["metadata"]["managedFields"] = [
        {
            "manager": "keda",
            "operation": "Update",
            "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]
    router.hold(1)
    sleepy.look()
    assert (sleepy.replicas, sleepy.scales()) == (0, 0)
    assert sleepy.condition("AutoscalingActive") == ("False", "ReplicasOwnedElsewhere")
    assert not sleepy.is_wanted()


def test_silent_routers_are_told(sleepy, leader, router):
    sleepy.begin_with(leader, router, replicas=0)
    router.metrics = (500, b"")
    sleepy.look()
    assert sleepy.condition("AutoscalingActive") == ("False", "RoutersSilent")
    assert sleepy.replicas == 0


def test_a_service_that_is_deleted_is_looked_at_no_more(sleepy, leader, router):
    sleepy.begin_with(leader, router, replicas=0)
    router.hold(1)
    (path,) = (path for path in sleepy.store.objects if path.endswith("/llmservices/chat"))
    del sleepy.store.objects[path]
    sleepy.turn()
    assert not sleepy.is_wanted()
