"""Pools of Gateways come and go with the spec, where their kinds are installed."""

import pytest
from support.play import Play

from radixloom_operator.naming import leader_selector

ROUTING = {
    "mode": "InferencePool",
    "inferencePool": {
        "endpointPicker": {"name": "picker"},
        "gateways": [{"name": "inference"}],
    },
}
POOLED = {"spec.routing": ROUTING}
INSTALLED = {
    "inferencepools": "inference.networking.k8s.io/v1",
    "httproutes": "gateway.networking.k8s.io/v1",
}
CONDITION = "InferencePoolAccepted"


@pytest.fixture
def play(server) -> Play:
    return Play(server)


@pytest.fixture
def pooled(play) -> Play:
    """A service whose pool exists."""
    play.store.custom = dict(INSTALLED)
    play.apply(POOLED)
    play.settle()
    return play


def conditions(play: Play) -> list[str]:
    return [one["type"] for one in play.store.find("llmservices", "chat")["status"]["conditions"]]


def test_a_pool_selects_the_leaders_and_clients_still_have_the_service(pooled):
    pool = pooled.store.find("inferencepools", "chat")
    assert pool["spec"]["selector"]["matchLabels"] == leader_selector("chat")
    assert pool["spec"]["endpointPickerRef"]["port"] == {"number": 9002}
    (rule,) = pooled.store.find("httproutes", "chat")["spec"]["rules"]
    assert rule["backendRefs"][0]["kind"] == "InferencePool"
    assert pooled.store.find("services", "chat")["spec"]["selector"] == leader_selector("chat")
    assert pooled.store.names("deployments") == []
    assert pooled.condition(CONDITION) == ("Unknown", "NoGateway")
    assert pooled.condition("Ready") == ("True", "Serving")


def test_what_a_gateway_says_of_the_pool_is_told(pooled):
    accepted = {"type": "Accepted", "status": "True"}
    parent = {"parentRef": {"name": "inference"}, "conditions": [accepted]}
    pooled.store.find("inferencepools", "chat")["status"] = {"parents": [parent]}
    pooled.settle()
    assert pooled.condition(CONDITION) == ("True", "Accepted")


def test_a_settled_pool_costs_no_writes(pooled):
    before = len(pooled.store.writes)
    for _ in range(5):
        assert pooled.turn()
    assert pooled.store.writes[before:] == []


def test_a_pool_that_was_changed_is_put_right(pooled):
    pooled.store.find("inferencepools", "chat")["spec"]["targetPorts"] = [{"number": 1}]
    pooled.settle()
    assert pooled.store.find("inferencepools", "chat")["spec"]["targetPorts"] == [{"number": 8000}]
    assert pooled.told().count("Repaired") == 1


@pytest.mark.parametrize("mode", ["Service", "Router"])
def test_another_mode_leaves_nothing_of_a_pool(pooled, mode):
    pooled.apply({"spec.routing": {"mode": mode}})
    pooled.settle()
    assert pooled.store.names("inferencepools") == []
    assert pooled.store.names("httproutes") == []
    assert CONDITION not in conditions(pooled)


def test_what_could_not_be_removed_is_told_and_removed_later(pooled):
    pooled.store.fault = lambda method, path, number: 403 if method == "DELETE" else None
    pooled.apply({"spec.routing": {"mode": "Service"}})
    pooled.settle()
    assert pooled.condition(CONDITION) == ("False", "NotRemoved")
    pooled.store.fault = lambda method, path, number: None
    pooled.settle()
    assert pooled.store.names("inferencepools") == pooled.store.names("httproutes") == []
    assert CONDITION not in conditions(pooled)


def test_a_spec_that_was_refused_in_between_leaves_nothing_of_a_pool(pooled):
    unsound = {"spec.rollout": {"maxUnavailable": 0, "maxSurge": 0}}
    pooled.apply({"spec.routing": {"mode": "Service"}, **unsound})
    pooled.settle()
    assert pooled.condition("Accepted")[0] == "False"
    pooled.apply({"spec.routing": {"mode": "Service"}})
    pooled.settle()
    assert pooled.store.names("inferencepools") == pooled.store.names("httproutes") == []


def test_without_gateways_a_route_goes_and_the_pool_stays(pooled):
    picker = {"endpointPicker": {"name": "picker"}}
    pooled.apply({"spec.routing": {"mode": "InferencePool", "inferencePool": picker}})
    pooled.settle()
    assert pooled.store.names("httproutes") == []
    assert pooled.store.names("inferencepools") == ["chat"]


def test_where_the_kinds_are_not_installed_the_service_serves_and_says_so(play):
    play.apply(POOLED)
    play.settle()
    assert play.condition(CONDITION) == ("False", "CustomResourceMissing")
    assert play.condition("Ready") == ("True", "Serving")
    assert play.condition("Degraded") == ("False", "AsExpected")
    assert not any("inferencepools" in write for write in play.store.writes)
    play.store.custom = dict(INSTALLED)
    play.settle()
    assert play.condition(CONDITION) == ("Unknown", "NoGateway")
    assert "Repaired" not in play.told()


def test_other_services_are_not_asked_for_pools(play):
    asked = []
    play.store.fault = lambda method, path, number: asked.append(path)
    play.apply()
    play.settle()
    assert not any("inferencepools" in path or "httproutes" in path for path in asked)
