"""What a status may say of a pool, by what exists and what Gateways wrote."""

import pytest

from radixloom_operator.gateways import pool_state
from radixloom_operator.observed import Observed

POOL = frozenset({"InferencePool"})
BOTH = POOL | {"HTTPRoute"}


def parent(name: str, **conditions: str):
    told = [
        {"type": kind, "status": status, "message": f"{kind} of {name}"}
        for kind, status in conditions.items()
    ]
    return {"parentRef": {"kind": "Gateway", "name": name}, "conditions": told}


def state(*parents, kinds=POOL):
    pool = {"metadata": {"name": "chat"}, "status": {"parents": [*parents]}}
    observed = Observed(shared={("InferencePool", "chat"): pool})
    found = pool_state("chat", kinds, observed)
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("missing", "named"),
    [(POOL, "networking.k8s.io/v1 InferencePool:"), (BOTH, "HTTPRoute and inference.networking")],
)
def test_kinds_that_are_not_served_are_named_with_what_to_install(missing, named):
    found = pool_state("chat", BOTH, Observed(missing_kinds=missing))
    assert (found.status, found.reason) == ("False", "CustomResourceMissing")
    assert named in found.message
    assert "install" in found.message


def test_a_kind_that_is_missing_and_not_wanted_does_not_matter():
    pool = {"metadata": {"name": "chat"}}
    shared = {("InferencePool", "chat"): pool}
    found = pool_state(
        "chat", POOL, Observed(shared=shared, missing_kinds=frozenset({"HTTPRoute"}))
    )
    assert (found.status, found.reason) == ("Unknown", "NoGateway")


def test_a_pool_that_is_not_there_is_not_applied():
    assert pool_state("chat", POOL, Observed()).reason == "NotApplied"


def test_one_gateway_that_takes_it_is_enough():
    assert state(parent("a", Accepted="Unknown"), parent("b", Accepted="True")) == (
        "True",
        "Accepted",
        "accepted by Gateway b",
    )


def test_a_picker_that_is_not_found_is_told_in_the_gateways_words():
    assert state(parent("a", Accepted="True", ResolvedRefs="False")) == (
        "False",
        "NotAccepted",
        "Gateway a: ResolvedRefs ResolvedRefs of a",
    )


def test_a_pool_that_is_not_exported_to_other_clusters_is_accepted_all_the_same():
    assert state(parent("a", Accepted="True", Exported="False"))[:2] == ("True", "Accepted")


def test_without_a_word_of_any_gateway_nothing_is_known():
    assert state()[:2] == ("Unknown", "NoGateway")
