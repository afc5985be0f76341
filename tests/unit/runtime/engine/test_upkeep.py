"""What becomes of requests and pins when weights change."""

from pathlib import Path

from support.serving import SHARED, Service, as_text, request
from support.toy_engine import NO_SUCH_MODEL, ToyUpkeep

from radixloom_runtime.engine.upkeep import update_weights
from radixloom_runtime.wire.messages import Done, Rejected, UpdateWeights


def update(service: Service, folder: str = "new") -> Done | Rejected:
    return update_weights(
        UpdateWeights(request_id="u", folder=folder), ToyUpkeep(), service.scheduler
    )


def test_running_answers_go_on_and_nothing_of_their_kv_is_read_again():
    service = Service(overlap=False)
    requests = [request(name, [*SHARED, i], max_tokens=9) for i, name in enumerate("abc")]
    service.submit(*requests)
    for _ in range(8):
        service.step()
    assert update(service) == Done(request_id="u")
    service.scheduler.check()
    assert all(ledger.num_used == 0 for ledger in service.scheduler.ledgers)
    answers = as_text(service.run())
    alone = Service()
    assert answers == as_text(alone.serve(*requests))


def test_pins_are_gone():
    service = Service()
    service.pin("p", SHARED)
    service.run()
    update(service)
    service.pinned.clear()
    assert service.serve(request("a", [*SHARED, 1]))["a"].cached_tokens == 0
    assert service.unpin("p") == 0


def test_a_pin_that_is_being_computed_is_computed_with_the_new_weights():
    service = Service(overlap=False)
    service.pin("p", SHARED)
    service.step()
    update(service)
    service.run()
    assert service.pinned == {"p": 40}


def test_what_is_refused_leaves_the_cache_as_it_is():
    service = Service()
    service.serve(request("a", SHARED))
    refused = update(service, NO_SUCH_MODEL)
    assert isinstance(refused, Rejected)
    assert NO_SUCH_MODEL in refused.message
    assert service.serve(request("b", SHARED))["b"].cached_tokens > 0


def test_a_slice_of_several_hosts_is_told_what_to_do_instead():
    message = UpdateWeights(request_id="u", folder=str(Path("new")))
    refused = update_weights(message, None, Service().scheduler)
    assert isinstance(refused, Rejected)
    assert "several hosts" in refused.message
