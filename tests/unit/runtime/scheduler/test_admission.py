"""Who is next, and who is turned away."""

import pytest
from support.serving import SHARED, Service, limits, request, starts_in_order


def test_equal_requests_are_served_in_order_of_arrival():
    service = Service(limits(max_rows=1))
    service.serve(*(request(f"r{index}", [index, 9]) for index in (3, 1, 2)))
    assert starts_in_order(service) == [3, 1, 2]


def test_lower_priority_numbers_are_served_first():
    service = Service(limits(max_rows=1))
    service.serve(
        request("normal", [1, 9]),
        request("late", [2, 9], priority=5),
        request("urgent", [3, 9], priority=-1),
    )
    assert starts_in_order(service) == [3, 1, 2]


def test_who_has_more_of_its_prompt_cached_is_served_first():
    service = Service(limits(max_rows=1))
    service.serve(request("warm", SHARED))
    service.plans.clear()
    service.serve(request("cold", [50] * 20), request("hit", [*SHARED, 2]))
    assert starts_in_order(service) == [1, 50]


def test_a_request_without_cached_prefix_is_not_starved_by_those_with():
    service = Service(limits(max_rows=1, num_pages=100))
    service.serve(request("warm", SHARED))
    service.plans.clear()
    hits = [request(f"hit{index}", [*SHARED, index], max_tokens=1) for index in range(60)]
    service.serve(request("cold", [50] * 20), *hits)
    assert starts_in_order(service).index(50) == 16


def test_a_request_too_large_for_now_is_not_starved_by_small_ones():
    service = Service(limits(num_pages=12, max_rows=4))
    service.submit(request("running", [1] * 8, max_tokens=8))
    service.step()
    large = request("large", [2] * 40, max_tokens=4)
    service.submit(large)
    for index in range(60):
        service.submit(request(f"small{index}", [3 + index % 40] * 4, max_tokens=6))
        service.step()
    service.run()
    order = starts_in_order(service)
    assert order.index(2) <= 18, "16 may pass it, and those that run already"


def test_one_more_than_may_wait_is_rejected_and_told_when_to_retry():
    service = Service(limits(max_rows=1), max_queued_requests=2)
    service.submit(*(request(f"r{index}", [index, 1]) for index in range(4)))
    rejected = service.answers["r3"].rejected
    assert rejected is not None
    assert rejected.retry_after_seconds is not None
    assert [service.answers[f"r{index}"].rejected for index in range(3)] == [None] * 3


def test_a_request_id_in_use_is_rejected():
    service = Service()
    service.submit(request("a", [1]))
    rejected = service.scheduler.submit(request("a", [2]))
    assert rejected is not None
    assert "'a' is in use" in rejected.message


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_aborted_request_is_gone_whatever_its_stage(steps):
    service = Service(limits(step_tokens=8))
    service.submit(request("a", SHARED, max_tokens=9), request("b", [1, 2]))
    for _ in range(steps):
        service.step()
    told = len(service.answers["a"].outputs)
    service.abort("a")
    service.run()
    assert len(service.answers["a"].outputs) == told
    assert service.answers["b"].finish_reason == "length"


def test_aborting_what_is_not_there_does_nothing():
    service = Service()
    service.abort("nobody")
    service.serve(request("a", [1]))
    service.abort("a")


def test_the_first_output_alone_says_when_a_request_left_the_queue():
    service = Service()
    service.now = 4.0
    service.submit(request("a", [1, 2], max_tokens=3))
    service.step()
    service.now = 8.0
    service.run()
    assert [output.scheduled_at for output in service.answers["a"].outputs] == [5.0, None, None]


def test_who_is_displaced_before_its_first_token_left_the_queue_when_it_did_so_first():
    service = Service(limits(num_pages=12, step_tokens=16))
    service.now = 4.0
    service.submit(request("low", [1] * 40, max_tokens=2, priority=1))
    service.step()
    service.now = 8.0
    service.submit(request("high", [2] * 40, max_tokens=2))
    service.run()
    assert service.scheduler.totals.preemptions > 0
    assert service.answers["high"].outputs[0].scheduled_at == 9.0
    assert service.answers["low"].outputs[0].scheduled_at == 5.0
