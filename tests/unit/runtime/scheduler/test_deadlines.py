"""Requests whose time is over."""

import pytest
from support.serving import SHARED, Service, limits, request, starts_in_order

from radixloom_runtime.scheduler import deadlines
from radixloom_runtime.scheduler.deadlines import Deadlines


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 8])
def test_a_request_whose_time_is_over_is_told_so_whatever_its_stage(seconds):
    service = Service(limits(step_tokens=8))
    service.submit(request("a", SHARED, max_tokens=60, deadline=float(seconds)))
    other = request("b", [1, 2], max_tokens=20)
    service.submit(other)
    service.run()
    late = service.answers["a"]
    assert late.timed_out
    assert late.finish_reason is None
    assert service.scheduler.totals.expired == 1
    assert service.answers["b"].finish_reason == "length"


def test_a_waiting_request_times_out_without_ever_running():
    service = Service(limits(max_rows=1))
    service.submit(request("long", [1, 2], max_tokens=30))
    service.submit(request("late", [3, 4], deadline=5.0))
    service.run()
    assert service.answers["late"].timed_out
    assert starts_in_order(service) == [1]


def test_a_request_that_finished_in_time_does_not_time_out():
    service = Service()
    service.submit(request("quick", [1, 2], max_tokens=2, deadline=50.0))
    service.run()
    service.submit(request("quick", [3, 4], max_tokens=60, deadline=100.0))
    service.run()
    assert service.scheduler.totals.expired == 0
    assert service.answers["quick"].finish_reason == "length"


def test_the_deadline_of_an_earlier_request_of_that_name_does_not_count():
    service = Service()
    service.serve(request("a", [1, 2], max_tokens=2, deadline=10.0))
    answers = service.serve(request("a", [3, 4], max_tokens=30))
    assert answers["a"].finish_reason == "length"


def test_the_deadlines_of_requests_that_have_finished_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(deadlines, "_SWEEP_ABOVE", 4)
    open_ones: dict[str, float] = {}
    times = Deadlines(open_ones.get)
    for index in range(1000):
        open_ones.clear()
        open_ones[f"r{index}"] = 1e6 + index
        times.note(request(f"r{index}", [1], deadline=1e6 + index))
    assert len(times) <= 5
    assert times.take_passed(2e6) == ["r999"]
