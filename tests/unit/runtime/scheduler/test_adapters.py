"""Slots of adapters, and that no KV of one is read with another."""

import pytest
from support.serving import SHARED, Service, as_text, limits, request
from support.toy_runner import expected_tokens

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.scheduler.adapters import Adapters


def test_a_prefix_is_shared_with_the_same_adapter_alone():
    service = Service()
    service.serve(request("base", SHARED), request("one", SHARED, adapter="one"))
    again = {
        name: service.serve(request(f"{name}2", SHARED, adapter=name))[f"{name}2"].cached_tokens
        for name in ("", "one", "two")
    }
    assert again == {"": 36, "one": 36, "two": 0}


def test_a_copy_in_host_memory_is_read_with_the_same_adapter_alone():
    small = limits(num_pages=16, num_host_pages=64)
    service = Service(small)
    for index, adapter in enumerate(("", "one", "two")):
        service.serve(request(f"a{index}", SHARED, adapter=adapter))
    requests = [request(f"b{i}", SHARED, adapter=name) for i, name in enumerate(("", "one", "two"))]
    for each in requests:
        answer = service.serve(each)[each.request_id]
        assert answer.token_ids == expected_tokens(each, small)[0]
        assert answer.cached_tokens > 0


def test_answers_of_a_mixed_batch_are_as_alone():
    requests = [
        request(f"r{i}", SHARED[: 20 + i], max_tokens=9, seed=i, adapter=("", "one", "two")[i % 3])
        for i in range(8)
    ]
    answers = as_text(Service().serve(*requests))
    for each in requests:
        assert answers[each.request_id] == expected_tokens(each, limits())


def test_an_unloaded_adapter_s_requests_go_on_and_new_ones_are_refused():
    service = Service()
    running = request("a", SHARED, max_tokens=9, adapter="one")
    service.submit(running)
    service.step()
    adapters = service.scheduler.adapters
    adapters.unload("one")
    service.submit(request("b", SHARED, adapter="one"))
    rejected = service.answers["b"].rejected
    assert rejected is not None
    assert "'one' is not loaded any more" in rejected.message
    assert service.scheduler.adapter_slots_in_use() == {1}
    with pytest.raises(ConfigurationError, match="requests that still run with one"):
        adapters.slot_for("three", service.scheduler.adapter_slots_in_use())
    service.run()
    assert service.answers["a"].token_ids == expected_tokens(running, limits())[0]
    assert adapters.slot_for("three", service.scheduler.adapter_slots_in_use()) == 1


def test_an_adapter_that_takes_another_s_name_reads_none_of_its_kv():
    service = Service()
    service.serve(request("a", SHARED, adapter="one"))
    service.scheduler.adapters.add("one", service.scheduler.adapters.slot_for("one", ()))
    assert service.serve(request("b", SHARED, adapter="one"))["b"].cached_tokens == 0


def test_a_name_that_is_loaded_gets_its_own_slot_again_unless_requests_have_it():
    adapters = Adapters(3, ("one", "two"))
    assert adapters.slot_for("two", ()) == 2
    assert adapters.slot_for("two", {2}) == 3
    assert adapters.names == ("one", "two")


def test_without_room_the_flag_is_named():
    with pytest.raises(ConfigurationError, match="--max-loras"):
        Adapters(0).slot_for("one", ())


def test_what_is_not_loaded_is_not_unloaded():
    with pytest.raises(ConfigurationError, match="loaded: one"):
        Adapters(1, ("one",)).unload("two")
