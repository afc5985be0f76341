"""Measuring: who is asked, and how often."""

from datetime import UTC, datetime, timedelta

import pytest
from support.kubernetes_objects import LOADING, OWNER_UID, READY, pod, statefulset
from support.leader import Leader

from radixloom_operator.autoscaling.meter import Meter
from radixloom_operator.leaders import Leaders
from radixloom_operator.load import Load
from radixloom_operator.observed import Observed, World, observe

START = datetime(2026, 1, 1, tzinfo=UTC)


def seen(*ports: int, status=READY) -> Observed:
    """Observe slices whose leaders listen on these ports of this machine."""
    pods = [pod(index, status={**status, "podIP": "127.0.0.1"}) for index in range(len(ports))]
    for one, port in zip(pods, ports, strict=True):
        engine = {"name": "engine", "ports": [{"name": "http", "containerPort": port}]}
        one["spec"] = {"containers": [engine]}
    statefulsets = tuple(statefulset(index) for index in range(len(ports)))
    return observe(World(statefulsets, tuple(pods)), owner_uid=OWNER_UID)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def meter() -> Meter:
    return Meter(Leaders(), period_seconds=15)


def test_every_slice_that_serves_tells_its_load(meter, leader):
    with Leader().serving() as other:
        leader.be_busy(3)
        other.be_busy(5, 2, 0.5)
        loads = meter.loads("u-1", seen(leader.port, other.port), START)
    assert loads == [Load(3, 0, 0), Load(5, 2, 0.5)]
    assert leader.asked == ["/metrics"]


def test_within_a_period_nobody_is_asked_again(meter, leader):
    leader.be_busy(3)
    meter.loads("u-1", seen(leader.port), START)
    leader.be_busy(9)
    assert meter.loads("u-1", seen(leader.port), at(14)) == [Load(3, 0, 0)]
    assert meter.loads("u-1", seen(leader.port), at(15)) == [Load(9, 0, 0)]
    assert len(leader.asked) == 2


def test_a_slice_that_was_not_there_is_asked_for_at_once(meter, leader):
    meter.loads("u-1", seen(leader.port), START)
    with Leader().serving() as other:
        assert len(meter.loads("u-1", seen(leader.port, other.port), at(1))) == 2
        assert other.asked == ["/metrics"]


def test_services_are_told_apart(meter, leader):
    with Leader().serving() as other:
        leader.be_busy(1)
        other.be_busy(2)
        assert meter.loads("u-1", seen(leader.port), START) == [Load(1, 0, 0)]
        assert meter.loads("u-2", seen(other.port), START) == [Load(2, 0, 0)]


def test_a_slice_that_does_not_serve_is_not_asked(meter, leader):
    assert meter.loads("u-1", seen(leader.port, status=LOADING), START) == []
    assert leader.asked == []


@pytest.mark.parametrize("answer", [(500, b""), (302, b""), (200, b"oops")])
def test_one_that_answers_otherwise_has_an_unknown_load(meter, leader, answer):
    leader.metrics = answer
    assert meter.loads("u-1", seen(leader.port), START) == [None]


def test_one_that_cannot_be_reached_has_an_unknown_load(meter):
    assert meter.loads("u-1", seen(9), START) == [None]


def test_services_that_are_gone_are_forgotten(meter, leader):
    meter.loads("gone", seen(leader.port), START)
    meter.loads("u-1", seen(leader.port), at(1000))
    assert [*meter._samples] == ["u-1"]
