"""Requests that share a prefix compute it once."""

from support.serving import LIMITS, SHARED, Service, is_as_alone, limits, request
from support.toy_runner import expected_tokens


def test_requests_that_come_together_prefill_their_shared_prefix_once():
    service = Service(limits(num_pages=200, max_rows=16, step_tokens=64))
    requests = [request(f"r{index}", [*SHARED, 40 + index], max_tokens=3) for index in range(16)]
    service.serve(*requests)
    assert is_as_alone(service, *requests)
    cached = [service.answers[each.request_id].cached_tokens for each in requests]
    assert cached == [0] + [40] * 15
    prefilled = sum(len(chunk.token_ids) for plan in service.plans for chunk in plan.chunks)
    assert prefilled == 41 + 15
    totals = service.scheduler.totals
    assert (totals.prompt_tokens, totals.cached_tokens) == (16 * 41, 15 * 40)


def test_a_page_may_be_read_in_the_step_that_fills_it():
    service = Service(limits(step_tokens=64))
    service.serve(request("a", [*SHARED, 1]), request("b", [*SHARED, 2]))
    first = service.plans[0]
    assert [chunk.start for chunk in first.chunks] == [0, 40]


def test_a_prompt_known_whole_computes_only_its_last_page():
    service = Service()
    service.serve(request("a", SHARED))
    answers = service.serve(request("b", SHARED))
    assert answers["b"].cached_tokens == 36
    assert answers["b"].token_ids == answers["a"].token_ids


def test_the_next_turn_of_a_chat_finds_the_answer_of_the_last_one():
    service = Service()
    first = service.serve(request("a", SHARED[:6], max_tokens=10))["a"]
    chat = [*SHARED[:6], *first.token_ids, 7, 8]
    assert service.serve(request("b", chat))["b"].cached_tokens == 12


def test_cached_tokens_are_whole_pages_and_fewer_than_the_prompt():
    service = Service()
    service.serve(request("a", SHARED))
    assert service.serve(request("b", SHARED[:7]))["b"].cached_tokens == 4
    assert service.serve(request("c", SHARED[:8]))["c"].cached_tokens == 4
    assert service.serve(request("d", SHARED[:9]))["d"].cached_tokens == 8


def test_without_prefix_cache_every_prompt_is_computed_whole():
    service = Service(prefix_cache=False)
    service.serve(request("a", SHARED))
    assert service.serve(request("b", SHARED))["b"].cached_tokens == 0


def test_an_aborted_request_leaves_the_pages_that_others_read():
    service = Service(limits(step_tokens=64))
    service.submit(request("a", [*SHARED, 1]), request("b", [*SHARED, 2]))
    service.step(aborts=["a"])
    service.run()
    assert service.answers["a"].outputs == []
    assert service.answers["b"].token_ids == expected_tokens(request("b", [*SHARED, 2]), LIMITS)[0]


def test_old_prompts_are_evicted_before_young_ones():
    service = Service(limits(num_pages=12))
    for name, first in (("old", 1), ("young", 2)):
        service.serve(request(name, [first] * 17, max_tokens=1))
    service.serve(request("old again", [1] * 17, max_tokens=1))
    service.serve(request("large", [3] * 28, max_tokens=1))
    assert service.serve(request("o", [1] * 17, max_tokens=1))["o"].cached_tokens > 0
    assert service.serve(request("y", [2] * 17, max_tokens=1))["y"].cached_tokens == 0
