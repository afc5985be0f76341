"""Prefixes that were evicted come back from host memory."""

from support.serving import SHARED, Service, is_as_alone, limits, request

SMALL = limits(num_pages=14, num_host_pages=40)


def test_a_prompt_seen_long_ago_is_copied_back_and_not_computed_again():
    service = Service(SMALL)
    first = request("first", [*SHARED, 1], max_tokens=3)
    others = [request(f"r{index}", [41 + index] * 40, max_tokens=3) for index in range(3)]
    for each in (first, *others):
        service.serve(each)
    computed = service.runner.num_computed_tokens
    again = request("again", [*SHARED, 2], max_tokens=3)
    service.serve(again)
    assert service.answers["again"].cached_tokens == 40
    assert service.runner.num_computed_tokens - computed == 3
    assert service.runner.num_restored_tokens == 40
    assert is_as_alone(service, first, *others, again)


def test_without_host_memory_no_page_is_moved():
    service = Service(limits(num_pages=14))
    for index in range(4):
        service.serve(request(f"r{index}", [index] * 40, max_tokens=3))
    assert not any(plan.moves for plan in service.plans)


def test_a_preempted_request_gets_its_pages_back_from_host_memory():
    service = Service(limits(num_pages=10, num_host_pages=20))
    requests = [request(name, [len(name)] * 8, max_tokens=28) for name in ("a", "bb")]
    service.serve(*requests)
    assert service.scheduler.totals.preemptions > 0
    assert service.runner.num_restored_tokens > 0
    assert is_as_alone(service, *requests)
