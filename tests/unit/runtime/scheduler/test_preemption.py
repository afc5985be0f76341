"""Too little memory: who gives way, and that nothing is lost by it."""

from support.serving import SHARED, Service, is_as_alone, limits, request


def test_a_request_that_just_fits_the_pool_completes():
    service = Service(limits(num_pages=5))
    just_fits = request("a", [1, 2, 3], max_tokens=18)
    service.serve(just_fits)
    assert is_as_alone(service, just_fits)


def test_a_request_that_can_never_fit_is_rejected_with_the_numbers():
    service = Service(limits(num_pages=5))
    service.submit(request("a", [1, 2, 3], max_tokens=19))
    rejected = service.answers["a"].rejected
    assert rejected is not None
    assert "needs 21 places in the KV cache, which has 20" in rejected.message
    assert rejected.retry_after_seconds is None


def test_the_last_to_arrive_is_preempted_and_goes_on_with_the_same_tokens():
    service = Service(limits(num_pages=8))
    first, last = request("first", [1] * 6, max_tokens=24), request("last", [2] * 6, max_tokens=24)
    service.serve(first, last)
    assert is_as_alone(service, first, last)
    assert service.scheduler.totals.preemptions > 0
    again = [start for plan in service.plans for start in plan.starts[:2]][2:]
    assert {start.history_ids[:6] for start in again} == {(2,) * 6}
    assert all(len(start.history_ids) > 6 for start in again), "output so far is history"


def test_the_lower_priority_is_preempted_though_it_came_first():
    service = Service(limits(num_pages=8))
    service.submit(request("low", [1] * 6, max_tokens=24, priority=1))
    service.step()
    service.submit(request("high", [2] * 6, max_tokens=24))
    service.run()
    assert service.scheduler.totals.preemptions > 0
    restarted = [start.history_ids[0] for plan in service.plans for start in plan.starts][2:]
    assert set(restarted) == {1}


def test_nobody_is_displaced_in_vain_for_pages_that_others_go_on_holding():
    """Two who share pages with a third were preempted, and those pages stayed where they were."""
    service = Service(limits(num_pages=16, step_tokens=64))
    service.serve(request("warm", SHARED, max_tokens=1))
    service.submit(request("third", [*SHARED, 1], max_tokens=8))
    for name in ("low", "lower"):
        service.submit(request(name, [*SHARED, 2], max_tokens=8, priority=1))
    service.step()
    assert service.scheduler.num_running == 3
    service.submit(request("high", [50] * 32, max_tokens=4))
    service.step()
    assert service.scheduler.totals.preemptions == 0
    service.run()
    assert service.answers["high"].finish_reason == "length"


def preempted_while_decoding(**more) -> tuple[Service, list[int]]:
    """Serve two, of which the second is preempted once; also where its prefills began."""
    service = Service(limits(num_pages=12, step_tokens=64))
    service.serve(
        request("first", [1] * 4, max_tokens=17), request("b", [2] * 20, max_tokens=24, **more)
    )
    assert service.scheduler.totals.preemptions == 1
    prefills = [chunk for plan in service.plans for chunk in plan.chunks if chunk.token_ids]
    return service, [chunk.start for chunk in prefills[1:]]


def test_a_preempted_request_finds_its_pages_again():
    _, prefill_starts = preempted_while_decoding()
    assert prefill_starts == [0, 28]


def test_cached_tokens_are_those_of_the_first_admission_also_after_preemption():
    service, _ = preempted_while_decoding()
    assert service.answers["b"].cached_tokens == 0
    assert service.scheduler.totals.cached_tokens == 0
    assert service.scheduler.totals.prompt_tokens == 24


def test_prompt_logprobs_are_sent_once_and_after_that_the_cache_is_read_again():
    service, prefill_starts = preempted_while_decoding(prompt_logprobs=1)
    told = [output.prompt_logprobs is not None for output in service.answers["b"].outputs]
    assert told == [True] + [False] * 23
    assert prefill_starts == [0, 28]


def test_a_prompt_is_admitted_only_when_all_of_it_fits_beside_the_running():
    service = Service(limits(num_pages=10))
    service.submit(request("a", [1] * 4, max_tokens=17))
    service.step()
    service.submit(request("b", [2] * 32, max_tokens=8))
    service.run()
    assert service.scheduler.totals.preemptions == 0
