"""Routers come and go behind the client Service, and no service with them."""

import pytest
from support.play import Play

from radixloom_operator.naming import POD_INDEX_LABEL, ROUTER_LABEL

ROUTED = {"spec.routing": {"mode": "Router"}}


@pytest.fixture
def play(server) -> Play:
    return Play(server)


def selected(play: Play) -> str:
    """Whom the client Service selects."""
    selector = play.store.find("services", "chat")["spec"]["selector"]
    return "routers" if ROUTER_LABEL in selector else "leaders"


def routers_are(play: Play, available: int) -> None:
    """Do what the controller of Deployments does."""
    deployment = play.store.find("deployments", "chat-router")
    deployment["status"] = {"availableReplicas": available} if available else {}


def test_clients_go_on_reaching_leaders_until_a_router_is_available(play):
    play.apply(ROUTED)
    play.settle()
    assert play.store.names("deployments") == ["chat-router"]
    assert selected(play) == "leaders"
    assert play.condition("RouterAvailable") == ("False", "NoRouterAvailable")
    assert play.condition("Ready") == ("True", "Serving")
    routers_are(play, 1)
    play.settle()
    assert selected(play) == "routers"
    assert play.condition("RouterAvailable") == ("True", "Available")


def test_without_any_router_left_clients_reach_leaders_again(play):
    play.apply(ROUTED)
    play.settle()
    routers_are(play, 2)
    play.settle()
    routers_are(play, 0)
    play.settle()
    assert selected(play) == "leaders"
    selector = play.store.find("services", "chat")["spec"]["selector"]
    assert selector[POD_INDEX_LABEL] == "0"


def test_a_service_without_routers_again_has_nothing_left_of_them(play):
    play.apply()
    play.settle()
    before = play.snapshot()
    play.apply(ROUTED)
    play.settle()
    routers_are(play, 2)
    play.settle()
    assert play.store.names("services") == ["chat", "chat-hosts", "chat-leaders"]
    play.apply()
    play.settle()
    assert play.store.names("deployments") == []
    assert play.store.names("services") == ["chat", "chat-hosts"]
    assert play.store.names("poddisruptionbudgets") == ["chat"]
    assert play.store.names("networkpolicies") == ["chat"]
    assert selected(play) == "leaders"
    assert play.snapshot().keys() == before.keys()


def test_routers_that_are_new_are_no_repair_and_cost_no_slice(play):
    play.apply()
    play.settle()
    play.apply(ROUTED)
    play.settle()
    assert "Repaired" not in play.told()
    assert "SliceReplaced" not in play.told()


def test_a_deployment_that_was_deleted_is_made_again_and_told(play):
    play.apply(ROUTED)
    play.settle()
    (path,) = (path for path in play.store.objects if path.endswith("/deployments/chat-router"))
    del play.store.objects[path]
    play.settle()
    assert play.store.names("deployments") == ["chat-router"]
    assert play.told().count("Repaired") == 1


def test_a_settled_service_with_routers_costs_no_writes(play):
    play.apply(ROUTED)
    play.settle()
    routers_are(play, 2)
    play.settle()
    before = len(play.store.writes)
    for _ in range(5):
        assert play.turn()
    assert play.store.writes[before:] == []
