"""The order in which the waiting are admitted."""

from support.serving import request

from radixloom_runtime.scheduler.policy import MAX_PASSED_OVER, WINDOW, WaitingQueue
from radixloom_runtime.scheduler.request import Request, Waiting


def waiting(arrival: int, *, priority: int = 0) -> Waiting:
    submit = request(str(arrival), [arrival], priority=priority)
    return Waiting(Request(submit, arrival, 2, frozenset()), (arrival,))


def queue_of(*members: Waiting) -> WaitingQueue:
    queue = WaitingQueue()
    for member in members:
        queue.add(member)
    return queue


def nothing_cached(_: Waiting) -> int:
    return 0


def test_the_queue_is_in_order_of_priority_then_arrival():
    third, first, second = waiting(2), waiting(5, priority=-1), waiting(1)
    assert list(queue_of(third, first, second)) == [first, second, third]


def test_a_preempted_request_is_before_all_that_came_after_it():
    preempted = waiting(0)
    queue = queue_of(waiting(3), waiting(4))
    queue.add(preempted)
    assert next(iter(queue)) is preempted


def test_more_cached_tokens_go_first_but_only_among_equal_priorities():
    members = [waiting(0), waiting(1), waiting(2, priority=1)]
    cached = {0: 0, 1: 8, 2: 99}
    order = queue_of(*members).candidates(lambda each: cached[each.request.arrival])
    assert [each.request.arrival for each in order] == [1, 0, 2]


def test_only_the_best_ranked_compete():
    looked_up: list[Waiting] = []
    queue = queue_of(*(waiting(arrival) for arrival in range(WINDOW + 10)))
    list(queue.candidates(lambda each: looked_up.append(each) or 0))
    assert len(looked_up) == WINDOW


def test_the_first_is_passed_over_a_limited_number_of_times_then_nobody_goes_before_it():
    first = waiting(0)
    queue = queue_of(first, *(waiting(arrival) for arrival in range(1, 100)))
    served = []
    while first in list(queue):
        best = next(queue.candidates(lambda each: each.request.arrival))
        queue.serve(best)
        served.append(best)
    assert len(served) == MAX_PASSED_OVER + 1


def test_the_limit_holds_within_one_round_of_admissions():
    first = waiting(0)
    queue = queue_of(first, *(waiting(arrival) for arrival in range(1, WINDOW)))
    admitted = 0
    for candidate in queue.candidates(lambda each: each.request.arrival):
        if candidate is not first:  # the first does not fit
            queue.serve(candidate)
            admitted += 1
    assert admitted == MAX_PASSED_OVER
    assert list(queue.candidates(nothing_cached)) == [first]


def test_a_first_that_leaves_gives_its_place_and_a_fresh_count_to_the_next():
    first, second = waiting(0), waiting(1)
    queue = queue_of(first, second, *(waiting(arrival) for arrival in range(2, 40)))
    for candidate in list(queue)[2 : 2 + MAX_PASSED_OVER]:
        queue.serve(candidate)
    assert list(queue.candidates(nothing_cached)) == [first]
    queue.remove(first)
    assert len(list(queue.candidates(nothing_cached))) > 1
