"""How many slices there should be: by example, and what holds for any load."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_operator.api.autoscaling import Autoscaling, AutoscalingStatus
from radixloom_operator.autoscaling.decision import average, decide
from radixloom_operator.demand import Demand
from radixloom_operator.load import Load

START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_SECONDS = 15


def policy(**fields) -> Autoscaling:
    return Autoscaling.model_validate(
        {"maxReplicas": 10, "target": {"value": 10}, **fields},
    )


def ongoing(*requests: float | None) -> tuple[Load | None, ...]:
    return tuple(None if one is None else Load(one, 0, 0) for one in requests)


class Clock:
    """Decides again and again, each time with what was decided before."""

    def __init__(self, policy: Autoscaling, replicas: int) -> None:
        self.policy, self.replicas, self.now = policy, replicas, START
        self.status: AutoscalingStatus | None = None

    def look(self, loads, *, seconds: float = PERIOD_SECONDS) -> str:
        """Decide by `loads`, do it, and let time pass; return the reason."""
        verdict = decide(self.policy, self.replicas, loads, self.status, self.now)
        self.replicas = verdict.replicas
        self.status = AutoscalingStatus(
            metric=self.policy.target.metric,
            desired_replicas=verdict.replicas,
            reason=verdict.reason,
            pending=verdict.pending,
        )
        self.now += timedelta(seconds=seconds)
        return verdict.reason


def test_as_many_slices_are_made_as_the_load_asks_for():
    clock = Clock(policy(), 1)
    assert clock.look(ongoing(35)) == "LoadAboveTarget"
    assert clock.replicas == 4


def test_slices_that_start_are_counted_on():
    # two of four serve, and have the load of four
    clock = Clock(policy(), 4)
    assert clock.look(ongoing(20, 20)) == "AtTarget"
    assert clock.replicas == 4


def test_a_tenth_above_the_target_is_at_the_target():
    clock = Clock(policy(), 2)
    assert clock.look(ongoing(11, 11)) == "AtTarget"
    assert clock.look(ongoing(11, 11.1)) == "LoadAboveTarget"
    assert clock.replicas == 3


def test_slices_go_when_fewer_were_wanted_for_the_whole_stabilization():
    clock = Clock(policy(scaleDown={"stabilizationSeconds": 60}), 4)
    assert [clock.look(ongoing(3, 3, 3, 3)) for _ in range(4)] == ["Stabilizing"] * 4
    assert clock.replicas == 4
    assert clock.look(ongoing(3, 3, 3, 3)) == "LoadBelowTarget"
    assert clock.replicas == 2


def test_as_many_stay_as_were_wanted_at_the_most_meanwhile():
    clock = Clock(policy(scaleDown={"stabilizationSeconds": 30}), 4)
    clock.look(ongoing(0, 0, 0, 0))
    clock.look(ongoing(25, 0, 0, 0))
    clock.look(ongoing(0, 0, 0, 0))
    assert clock.replicas == 3


def test_a_look_at_the_target_begins_the_stabilization_anew():
    clock = Clock(policy(scaleDown={"stabilizationSeconds": 30}), 2)
    clock.look(ongoing(0, 0))
    clock.look(ongoing(10, 10))
    assert [clock.look(ongoing(0, 0)) for _ in range(2)] == ["Stabilizing"] * 2
    assert clock.look(ongoing(0, 0)) == "LoadBelowTarget"


def test_a_short_peak_adds_nothing_while_scaling_up_is_stabilized():
    clock = Clock(policy(scaleUp={"stabilizationSeconds": 30}), 1)
    assert clock.look(ongoing(90)) == "Stabilizing"
    assert clock.look(ongoing(30)) == "Stabilizing"
    assert clock.look(ongoing(90)) == "LoadAboveTarget"
    assert clock.replicas == 3, "the least that was wanted all the time"


def test_bounds_hold_and_say_that_they_do():
    clock = Clock(policy(minReplicas=2, maxReplicas=3), 2)
    assert clock.look(ongoing(0, 0)) == "AtMinReplicas"
    clock.look(ongoing(500, 500))
    assert clock.replicas == 3
    assert clock.look(ongoing(500, 500, 500)) == "AtMaxReplicas"


@pytest.mark.parametrize(("replicas", "bounded"), [(1, 2), (9, 3)])
def test_replicas_beyond_the_bounds_are_put_right_whatever_the_load(replicas, bounded):
    clock = Clock(policy(minReplicas=2, maxReplicas=3), replicas)
    assert clock.look(()) == "ReplicasOutOfBounds"
    assert clock.replicas == bounded


def test_a_service_that_was_scaled_to_zero_stays_there():
    clock = Clock(policy(minReplicas=2), 0)
    assert clock.look(()) == "ScaledToZero"
    assert clock.replicas == 0


@pytest.mark.parametrize("loads", [(), ongoing(None, None), ongoing(1, None)])
def test_where_load_is_missing_nothing_is_taken_away(loads):
    clock = Clock(policy(scaleDown={"stabilizationSeconds": 0}), 2)
    assert clock.look(loads) == "LoadUnknown"
    assert clock.replicas == 2


def test_what_some_slices_tell_can_be_enough_to_add_one():
    clock = Clock(policy(), 2)
    assert clock.look(ongoing(40, None)) == "LoadAboveTarget"
    assert clock.replicas == 4


def test_a_missing_load_begins_the_stabilization_anew():
    clock = Clock(policy(scaleDown={"stabilizationSeconds": 15}), 2)
    clock.look(ongoing(0, 0))
    clock.look(ongoing(0, None))
    assert clock.look(ongoing(0, 0)) == "Stabilizing"
    assert clock.look(ongoing(0, 0)) == "LoadBelowTarget"


def waiting(*requests: float) -> tuple[Load, ...]:
    return tuple(Load(100, one, 0) for one in requests)


def test_by_waiting_requests_one_slice_less_is_tried_while_none_waits():
    fields = {
        "target": {"metric": "WaitingRequests", "value": 5},
        "scaleDown": {"stabilizationSeconds": 15},
    }
    clock = Clock(policy(**fields), 4)
    assert [clock.look(waiting(0, 0, 0, 0)) for _ in range(2)][-1] == "LoadBelowTarget"
    assert clock.replicas == 3
    assert clock.look(waiting(0, 0, 0)) == "Stabilizing", "the next one takes as long again"
    assert clock.look(waiting(1, 0, 0)) == "AtTarget"
    assert clock.look(waiting(9, 9, 9)) == "LoadAboveTarget"
    assert clock.replicas == 6


def test_the_kv_cache_is_measured_in_percent():
    target = {"metric": "KVCachePercent", "value": 60}
    clock = Clock(policy(target=target), 1)
    assert clock.look((Load(5, 0, 0.9),)) == "LoadAboveTarget"
    assert clock.replicas == 2
    assert average(clock.policy.target.metric, (Load(5, 0, 0.9), None)) == 90


# --- for any load

requests = st.one_of(st.none(), st.integers(0, 200))
policies = st.builds(
    lambda low, more, value, up, down: policy(
        minReplicas=low,
        maxReplicas=low + more,
        target={"metric": "OngoingRequests", "value": value},
        scaleUp={"stabilizationSeconds": up},
        scaleDown={"stabilizationSeconds": down},
    ),
    st.integers(1, 4),
    st.integers(0, 8),
    st.integers(1, 40),
    st.sampled_from([0, 20, 60]),
    st.sampled_from([0, 20, 60, 300]),
)
looks = st.lists(st.lists(requests, max_size=6), min_size=1, max_size=40)


@given(policies, st.integers(1, 20), looks)
def test_replicas_are_always_within_the_bounds(policy, replicas, looks):
    clock = Clock(policy, replicas)
    for loads in looks:
        clock.look(ongoing(*loads))
        assert policy.min_replicas <= clock.replicas <= policy.max_replicas


@given(policies, looks)
def test_after_slices_were_added_none_goes_within_the_stabilization_and_the_other_way_round(
    policy, looks
):
    clock = Clock(policy, policy.min_replicas)
    last_up = last_down = -math.inf
    for number, loads in enumerate(looks):
        before, seconds = clock.replicas, number * PERIOD_SECONDS
        clock.look(ongoing(*loads))
        if clock.replicas > before:
            assert seconds - last_down >= policy.scale_up.stabilization_seconds
            last_up = seconds
        elif clock.replicas < before:
            assert seconds - last_up >= policy.scale_down.stabilization_seconds
            last_down = seconds


@given(policies, looks)
def test_no_slice_goes_while_one_that_serves_does_not_tell_its_load(policy, looks):
    clock = Clock(policy, policy.max_replicas)
    for loads in looks:
        before = clock.replicas
        clock.look(ongoing(*loads))
        if None in loads or not loads:
            assert clock.replicas >= before


@given(policies, st.integers(1, 12), st.lists(st.integers(0, 200), min_size=1), st.data())
def test_more_load_never_wants_fewer_slices(policy, replicas, loads, data):
    at_once = policy.model_copy(
        update={
            "scale_up": policy.scale_up.model_copy(update={"stabilization_seconds": 0}),
            "scale_down": policy.scale_down.model_copy(update={"stabilization_seconds": 0}),
        }
    )
    more = [one + data.draw(st.integers(0, 50)) for one in loads]
    few = decide(at_once, replicas, ongoing(*loads), None, START).replicas
    many = decide(at_once, replicas, ongoing(*more), None, START).replicas
    assert few <= many


@given(policies, st.integers(1, 12), st.lists(st.integers(0, 200), min_size=1, max_size=6))
def test_under_a_steady_load_replicas_come_to_rest(policy, replicas, loads):
    clock = Clock(policy, replicas)
    seen = []
    for _ in range(60):
        clock.look(ongoing(*loads))
        seen.append(clock.replicas)
    assert len(set(seen[-10:])) == 1


def to_zero(**fields) -> Autoscaling:
    return policy(minReplicas=0, scaleToZeroAfterSeconds=60, **fields)


def look(
    policy: Autoscaling, replicas: int, loads, demand: Demand | None, reason: str = ""
) -> tuple[int, str]:
    """Decide once, after `reason`."""
    metric = policy.target.metric
    before = AutoscalingStatus(metric=metric, desired_replicas=replicas, reason=reason)
    verdict = decide(policy, replicas, loads, before, START, demand=demand)
    return verdict.replicas, verdict.reason


def test_the_last_slices_go_at_once_when_nobody_has_asked_for_long_enough():
    assert look(to_zero(), 1, ongoing(0), Demand(0, 59)) == (1, "AtMinReplicas")
    assert look(to_zero(), 1, ongoing(0), Demand(0, 60)) == (0, "Idle")
    assert look(to_zero(), 3, ongoing(0, 0, 0), Demand(0, 60)) == (0, "Idle")


@pytest.mark.parametrize(
    ("loads", "demand"),
    [
        (ongoing(1), Demand(0, 600)),
        (ongoing(0, None), Demand(0, 600)),
        ((), Demand(0, 600)),
        (ongoing(0), Demand(0, None)),
        (ongoing(0), None),
    ],
    ids=["asked past routers", "a silent slice", "no slice ready", "a silent router", "no router"],
)
def test_as_long_as_somebody_may_have_asked_the_last_slice_stays(loads, demand):
    assert look(to_zero(), 1, loads, demand)[0] == 1


def test_with_a_least_of_one_the_last_slice_stays_however_idle():
    assert look(policy(), 1, ongoing(0), Demand(0, 10_000)) == (1, "AtMinReplicas")


def test_a_request_that_waits_brings_one_slice():
    assert look(to_zero(), 0, (), Demand(0, 0), "Idle") == (0, "Idle")
    assert look(to_zero(), 0, (), Demand(40, None), "Idle") == (1, "RequestsHeld")


def test_of_silent_routers_no_slice_is_made():
    assert look(to_zero(), 0, (), None, "Idle") == (0, "RoutersSilent")


@pytest.mark.parametrize("reason", ["Idle", "RoutersSilent"])
def test_a_least_above_zero_brings_slices_back_that_were_idle(reason):
    assert look(policy(minReplicas=2), 0, (), None, reason) == (2, "ReplicasOutOfBounds")


def test_who_set_replicas_to_zero_by_hand_has_none_however_many_wait():
    assert look(policy(), 0, (), Demand(3, 0), "AtTarget") == (0, "ScaledToZero")
