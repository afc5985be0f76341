"""Flushing the prefix cache, and pinning prefixes in it."""

from support.serving import SHARED, Service, is_as_alone, limits, request


def test_a_flush_drops_what_nobody_holds_and_tells_how_much():
    service = Service()
    service.serve(request("a", SHARED))
    assert service.flush() == 40
    assert service.serve(request("b", SHARED))["b"].cached_tokens == 0


def test_a_flush_leaves_what_a_running_request_reads():
    service = Service()
    service.serve(request("warm", SHARED))
    requests = [request("a", [*SHARED, 1], max_tokens=20)]
    service.submit(*requests)
    service.step()
    service.flush()
    service.run()
    assert service.answers["a"].token_ids == service.serve(*requests)["a"].token_ids


def test_a_pinned_prefix_is_computed_kept_and_found():
    service = Service(limits(num_pages=24))
    assert service.pin("p", SHARED) is None
    service.run()
    assert service.pinned == {"p": 40}
    for index in range(4):
        service.serve(request(f"other{index}", [50 + index] * 50, max_tokens=1))
    assert service.flush() > 0
    assert service.serve(request("a", [*SHARED, 1]))["a"].cached_tokens == 40


def test_an_unpinned_prefix_is_evicted_like_any_other():
    service = Service(limits(num_pages=24))
    service.pin("p", SHARED)
    service.run()
    assert service.unpin("p") == 40
    assert service.flush() == 40


def test_unpinning_what_is_not_pinned_is_told():
    assert Service().unpin("nobody") == 0


def test_a_prefix_that_is_being_computed_can_be_unpinned():
    service = Service(limits(step_tokens=8))
    service.pin("p", SHARED)
    service.step()
    service.unpin("p")
    service.run()
    assert service.scheduler.pinned_pages == 0
    assert service.pinned == {}


def test_a_pin_whose_time_is_over_leaves_its_share_to_others():
    service = Service(limits(max_rows=1))
    service.submit(request("a", [1, 2, 3], max_tokens=30))
    service.step()
    assert service.pin("p", SHARED, deadline=5.0) is None
    service.run()
    assert service.timed_out_pins == {"p"}
    assert service.pinned == {}
    assert service.scheduler.pinned_pages == 0
    assert service.pin("p", SHARED) is None, "its name is free again"


def test_only_whole_pages_are_pinned():
    service = Service()
    service.pin("p", SHARED[:11])
    service.run()
    assert service.pinned == {"p": 8}
    rejected = service.pin("q", SHARED[:3])
    assert rejected is not None
    assert "the least to pin is a page, 4" in rejected.message


def test_no_more_than_its_share_of_the_cache_is_pinned():
    service = Service(limits(num_pages=20), pinned_share=0.5)
    assert service.pin("p", SHARED[:32]) is None
    rejected = service.pin("q", [3] * 12)
    assert rejected is not None
    assert "makes 44, but 40 may be pinned" in rejected.message
    service.run()


def test_a_request_that_does_not_fit_beside_the_pins_is_refused_and_not_queued_for_ever():
    service = Service(limits(num_pages=20), pinned_share=0.5)
    service.pin("p", SHARED)
    service.run()
    service.submit(request("large", [1] * 50, max_tokens=4))
    rejected = service.answers["large"].rejected
    assert rejected is not None
    assert "which has 40" in rejected.message


def test_nothing_is_pinned_that_an_accepted_request_needs():
    service = Service(limits(num_pages=20), pinned_share=0.5)
    large = request("large", [1] * 50, max_tokens=4)
    service.submit(large)
    rejected = service.pin("p", SHARED)
    assert rejected is not None
    assert "a request that was accepted before" in rejected.message
    service.run()
    assert is_as_alone(service, large)
    assert service.pin("p", SHARED) is None
    service.run()


def test_two_pins_of_one_prefix_hold_it_until_both_are_gone():
    service = Service()
    service.pin("p", SHARED)
    service.pin("q", SHARED[:20])
    service.run()
    service.unpin("p")
    assert service.flush() == 20
    assert service.unpin("q") == 20


def test_nothing_can_be_pinned_without_a_prefix_cache():
    rejected = Service(prefix_cache=False).pin("p", SHARED)
    assert rejected is not None
    assert "no prefixes are cached here" in rejected.message
