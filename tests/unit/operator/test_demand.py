"""Reading what is asked of a service from routers' /metrics."""

import pytest

from radixloom_operator.demand import Demand, read_demand, together
from radixloom_runtime.router.metrics import RouterMetrics


def test_the_routers_own_metrics_are_read():
    metrics = RouterMetrics()
    metrics.held_requests.set(3)
    metrics.idle_seconds.set(1.5)
    assert read_demand(metrics.render().decode()) == Demand(held=3, idle_seconds=1.5)


@pytest.mark.parametrize("idle", ["nan", "-1", "long", ""])
def test_a_gauge_that_cannot_be_is_no_demand(idle):
    text = f"radixloom_router_held_requests 1\nradixloom_router_idle_seconds {idle}"
    assert read_demand(text) is None


def test_a_router_of_an_older_release_tells_nothing():
    assert read_demand("radixloom_router_held_requests 1\n") is None


def test_requests_of_all_routers_count_and_the_one_asked_last_says_how_long_it_was():
    assert together([Demand(1, 0), Demand(2, 700)]) == Demand(3, 0)


def test_a_silent_router_hides_how_long_nobody_asked_but_not_who_waits():
    assert together([Demand(2, 700), None]) == Demand(2, None)


@pytest.mark.parametrize("told", [[], [None, None]])
def test_of_silent_routers_alone_nothing_is_known(told):
    assert together(told) is None
