"""What becomes of requests and pins when weights change."""

from pathlib import Path

import pytest
from support.serving import SHARED, Service, as_text, request
from support.toy_engine import NO_SUCH_MODEL, ToyUpkeep

from radixloom_runtime.engine.upkeep import change_adapters, update_weights
from radixloom_runtime.errors import EngineError, ModelError
from radixloom_runtime.wire.messages import Done, LoadAdapter, Rejected, UpdateWeights


class Unreadable(ToyUpkeep):
    """Of a folder that this process may not look into."""

    def check_weights(self, folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))


class Breaking(ToyUpkeep):
    """Of a folder whose files go away between check and load."""

    def load_weights(self, folder: Path) -> None:
        raise ModelError(f"{folder} is cut off")


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


def test_a_folder_that_may_not_be_read_is_refused_and_the_engine_lives():
    service = Service()
    update_ = UpdateWeights(request_id="u", folder="secret")
    load = LoadAdapter(request_id="l", name="one", folder="secret")
    for refused in (
        update_weights(update_, Unreadable(), service.scheduler),
        change_adapters(load, Unreadable(), service.scheduler),
    ):
        assert isinstance(refused, Rejected)
        assert "Permission denied: 'secret'" in refused.message


def test_a_load_that_breaks_half_way_ends_the_engine_as_no_fault_of_its_settings():
    update_ = UpdateWeights(request_id="u", folder="new")
    with pytest.raises(EngineError, match=r"half of the weights of new .* cut off"):
        update_weights(update_, Breaking(), Service().scheduler)
