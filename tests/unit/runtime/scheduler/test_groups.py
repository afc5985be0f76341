"""Copies of the attention: who runs on which, and that each has pages and rows of its own."""

import hypothesis.strategies as st
from hypothesis import given, settings
from support.serving import SHARED, Service, is_as_alone, limits, request
from support.toy_runner import expected_tokens

from radixloom_runtime.scheduler.groups import MOST_AHEAD

TWO = limits(num_groups=2)
SMALL = limits(num_groups=2, num_pages=12)
"""Of 48 tokens; a group may be ahead by 12."""


def groups_of(service: Service, first_token: int) -> list[int]:
    """The groups of all starts of prompts with this first token."""
    starts = [start for plan in service.plans for start in plan.starts]
    limits = service.runner.limits
    return [limits.group_of_row(each.row) for each in starts if each.history_ids[0] == first_token]


def running(service: Service) -> list[int]:
    """How many run in each group."""
    return [len(batch.running) for batch in service.scheduler._batches]


def test_requests_with_nothing_in_common_are_shared_out_evenly():
    service = Service(TWO)
    service.submit(*(request(f"r{i}", [i] * 6, max_tokens=20) for i in range(8)))
    while service.scheduler.num_waiting:
        service.step()
    assert running(service) == [4, 4]
    service.run()
    assert is_as_alone(service, *(request(f"r{i}", [i] * 6, max_tokens=20) for i in range(8)))


def test_a_prompt_goes_to_the_group_whose_cache_holds_its_start():
    service = Service(TWO)
    service.serve(request("first", SHARED))
    service.submit(request("busy", [*SHARED, 9], max_tokens=30))
    service.step()
    assert running(service) == [1, 0]
    service.submit(request("again", [*SHARED, 50], max_tokens=9))
    answers = service.run()
    assert groups_of(service, SHARED[0]) == [0, 0, 0], "though the other is idle"
    assert answers["again"].cached_tokens == len(SHARED)


def test_prompts_that_come_one_by_one_fill_the_caches_of_all_groups():
    service = Service(limits(num_groups=2, num_pages=12))
    for i in range(2):
        service.serve(request(f"r{i}", [i] * 33, max_tokens=1))
    answers = service.serve(*(request(f"again{i}", [i] * 33, max_tokens=1) for i in range(2)))
    assert [answers[f"again{i}"].cached_tokens for i in range(2)] == [32, 32]


def test_a_group_too_far_ahead_is_passed_over_for_all_its_cache():
    service = Service(TWO)
    most_ahead = MOST_AHEAD * TWO.num_pages * TWO.page_tokens
    asked = [request(f"r{i}", [*SHARED, i], max_tokens=30) for i in range(6)]
    service.submit(*asked)
    while service.scheduler.num_waiting:
        service.step()
    tokens = [batch.num_tokens for batch in service.scheduler._batches]
    assert all(tokens), "all six share a prefix, and do not all run where it was computed first"
    assert abs(tokens[0] - tokens[1]) <= most_ahead + len(SHARED) + 1
    service.run()
    assert is_as_alone(service, *asked)


def test_a_request_waits_only_while_no_group_has_room_for_it():
    service = Service(limits(num_groups=2, max_rows=1))
    service.submit(*(request(f"r{i}", [i] * 5, max_tokens=10) for i in range(3)))
    service.step()
    assert (running(service), service.scheduler.num_waiting) == ([1, 1], 1)
    service.run()


def test_priority_displaces_the_last_in_rank_of_all_groups_and_no_other():
    service = Service(limits(num_groups=2, max_rows=1))
    low = [request(f"low{i}", [i] * 5, max_tokens=20, priority=1) for i in range(2)]
    service.submit(*low)
    service.step()
    service.submit(request("high", [7] * 5, max_tokens=5))
    service.step()
    assert service.scheduler.totals.preemptions == 1
    assert "low0" in {
        run.request.submit.request_id for b in service.scheduler._batches for run in b.running
    }
    service.run()
    assert is_as_alone(service, *low, request("high", [7] * 5, max_tokens=5))


def test_the_preempted_of_one_group_may_go_on_in_another():
    service = Service(SMALL)
    asked = [request(f"r{i}", [i] * 16, max_tokens=28, seed=i) for i in range(5)]
    service.serve(*asked)
    assert service.scheduler.totals.preemptions > 0
    assert any(len(set(groups_of(service, i))) == 2 for i in range(5))
    assert is_as_alone(service, *asked)


def test_flush_and_pins_reach_all_groups():
    service = Service(TWO, pinned_share=0.5)
    service.submit(*(request(f"r{i}", [i] * 9, max_tokens=1) for i in range(4)))
    service.run()
    assert sum(ledger.num_evictable for ledger in service.scheduler.ledgers) == 8
    assert all(ledger.num_evictable for ledger in service.scheduler.ledgers)
    assert service.flush() == 32
    assert service.pin("a", SHARED) is None
    service.run()
    assert service.flush() == 0, "what is pinned stays"
    assert service.pin("b", range(100, 197)) is not None, "both count in the pool of one group"
    assert service.unpin("a") == len(SHARED)
    assert service.flush() == len(SHARED)


def test_evicted_pages_come_back_from_host_memory_to_their_own_group():
    service = Service(limits(num_groups=2, num_pages=12, num_host_pages=40))
    for i in range(6):
        service.serve(request(f"fill{i}", [i] * 33, max_tokens=1))
    for i in range(6):
        answers = service.serve(request(f"again{i}", [i] * 33, max_tokens=1))
        assert answers[f"again{i}"].cached_tokens == 32, "given to the group that has a copy"
    assert service.runner.num_restored_tokens > 0


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=24),
    num_groups=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_no_group_is_ahead_by_more_than_one_request_where_nothing_is_shared(lengths, num_groups):
    service = Service(limits(num_groups=num_groups, max_rows=32, num_pages=512))
    asked = [request(f"r{i}", [i] * n, max_tokens=12, seed=i) for i, n in enumerate(lengths)]
    service.submit(*asked)
    while service.scheduler.num_waiting:
        service.step()
        tokens = [batch.num_tokens for batch in service.scheduler._batches]
        assert max(tokens) - min(tokens) <= 40 + 12 + len(service.plans)
    service.run()
    for each in asked:
        answer = service.answers[each.request_id]
        assert (answer.token_ids, answer.finish_reason) == expected_tokens(each, TWO)
