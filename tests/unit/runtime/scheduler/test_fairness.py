"""Priorities that displace, users that alternate, and nobody who starves."""

from support.serving import SHARED, Service, is_as_alone, limits, request, starts_in_order

from radixloom_runtime.scheduler.turns import AGING, TURN
from radixloom_runtime.settings import SchedulePolicy

TURNS_A_PRIORITY = AGING // TURN


def test_a_request_of_higher_priority_takes_the_row_of_one_of_lower():
    service = Service(limits(max_rows=1))
    low, high = request("low", [1, 2, 3], max_tokens=30, priority=1), request("high", [4, 5])
    service.submit(low)
    for _ in range(4):
        service.step()
    service.submit(high)
    service.run()
    assert starts_in_order(service) == [1, 4, 1]
    assert service.scheduler.totals.preemptions == 1
    assert is_as_alone(service, low, high)


def test_a_request_of_higher_priority_takes_the_pages_of_one_of_lower():
    service = Service(limits(num_pages=10))
    low = request("low", [1] * 20, max_tokens=20, priority=3)
    high = request("high", [2] * 30, max_tokens=6)
    service.submit(low)
    for _ in range(4):
        service.step()
    service.submit(high)
    service.run()
    assert starts_in_order(service) == [1, 2, 1]
    assert is_as_alone(service, low, high)


def test_nobody_is_displaced_when_there_is_room_beside_it():
    service = Service(limits(max_rows=2))
    service.submit(request("low", [1, 2], max_tokens=9, priority=1))
    service.step()
    service.submit(request("high", [3, 4]))
    service.run()
    assert service.scheduler.totals.preemptions == 0


def test_nobody_is_displaced_for_one_that_would_not_fit_even_then():
    service = Service(limits(num_pages=12))
    service.submit(request("equal", [1] * 20, max_tokens=24))
    service.step()
    service.submit(request("low", [2] * 4, max_tokens=8, priority=1))
    service.step()
    service.submit(request("high", [3] * 40, max_tokens=4, priority=0))
    service.step()
    assert service.scheduler.totals.preemptions == 0
    service.run()


def test_equal_priorities_do_not_displace_each_other():
    service = Service(limits(max_rows=1))
    service.serve(*(request(f"r{index}", [index, 7], priority=2) for index in range(5)))
    assert service.scheduler.totals.preemptions == 0


def test_the_last_of_the_lowest_priority_is_displaced_first():
    service = Service(limits(max_rows=3))
    for index, priority in enumerate([1, 2, 2], start=1):
        service.submit(request(f"r{index}", [index], max_tokens=20, priority=priority))
    service.step()
    service.submit(request("high", [9]))
    service.run()
    assert starts_in_order(service) == [1, 2, 3, 9, 3]


def test_a_stream_of_urgent_requests_does_not_starve_one_of_lower_priority():
    service = Service(limits(max_rows=1))
    service.submit(request("patient", [50, 1], max_tokens=1, priority=1))
    for index in range(3 * TURNS_A_PRIORITY):
        service.submit(request(f"r{index}", [index % 40, 2], max_tokens=2))
        service.step()
        service.step()
    assert service.answers["patient"].finish_reason == "length"
    assert starts_in_order(service).index(50) <= TURNS_A_PRIORITY + 2
    service.run()


def test_a_flood_of_one_user_delays_another_by_one_turn_alone():
    service = Service(limits(max_rows=1))
    service.submit(*(request(f"a{index}", [1, index], user="alice") for index in range(40)))
    service.step()
    service.submit(*(request(f"b{index}", [2, index], user="bob") for index in range(3)))
    service.run()
    assert starts_in_order(service)[:7] == [1, 2, 1, 2, 1, 2, 1]


def test_the_longest_prefix_goes_first_within_a_user_and_not_before_another():
    service = Service(limits(max_rows=1, num_pages=100))
    service.serve(request("warm", SHARED))
    service.plans.clear()
    alice = [request(f"a{index}", [*SHARED, index], user="alice") for index in range(6)]
    service.submit(request("a", [50] * 8, user="alice"), *alice, request("b", [9], user="bob"))
    service.run()
    order = starts_in_order(service)
    assert order == [1, 9, 1, 1, 1, 1, 1, 50]


def test_first_come_first_served_does_not_look_at_prefixes():
    service = Service(limits(max_rows=1), policy=SchedulePolicy.FCFS)
    service.serve(request("warm", SHARED))
    service.plans.clear()
    service.serve(request("cold", [50] * 20), request("hit", [*SHARED, 2]))
    assert starts_in_order(service) == [50, 1]
