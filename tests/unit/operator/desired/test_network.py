"""Who may reach the pods."""

import kubernetes_validate
import pytest
from support.llmservice_cases import manifest

from radixloom_operator.api.validation import Problem, read
from radixloom_operator.desired import desired_objects
from radixloom_operator.settings import OperatorSettings

HOSTS = {"spec.tpu": {"generation": "cpu", "hosts": 2}}
LEADERS = {"serving.radixloom.dev/service": "chat", "apps.kubernetes.io/pod-index": "0"}
ROUTERS = {"serving.radixloom.dev/router": "chat"}
EVERYONE = {"serving.radixloom.dev/service": "chat"}


def policies(change=None) -> dict[str, dict]:
    service = read(manifest(change))
    assert not isinstance(service, Problem)
    shared = desired_objects(service, OperatorSettings()).shared
    found = [one for one in shared if one["kind"] == "NetworkPolicy"]
    for one in found:
        kubernetes_validate.validate(one, "1.34", strict=True)
    return {one["metadata"]["name"]: one["spec"] for one in found}


def test_a_slice_of_one_host_takes_http_from_everybody_and_nothing_else():
    (spec,) = policies().values()
    assert spec == {
        "podSelector": {"matchLabels": LEADERS},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
    }


def test_hosts_hear_each_other_and_nobody_else():
    found = policies(HOSTS)
    assert found["chat"]["podSelector"] == {"matchLabels": LEADERS}
    assert found["chat-hosts"]["podSelector"] == {"matchLabels": EVERYONE}
    assert found["chat-hosts"]["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": EVERYONE}}]}
    ]


def test_named_clients_and_the_operator_reach_leaders_alone():
    clients = [{"namespaceLabels": {"team": "search"}}, {"podLabels": {"app": "web"}}]
    found = policies({**HOSTS, "spec.network": {"clients": clients}})
    (rule,) = found["chat"]["ingress"]
    operator, first, second = rule["from"]
    assert operator["podSelector"] == {
        "matchLabels": {"app.kubernetes.io/name": "radixloom-operator"}
    }
    assert first == {"namespaceSelector": {"matchLabels": {"team": "search"}}}
    assert second == {"podSelector": {"matchLabels": {"app": "web"}}}
    assert found["chat-hosts"] == policies(HOSTS)["chat-hosts"]


def test_clients_reach_routers_and_routers_leaders():
    clients = [{"podLabels": {"app": "web"}}]
    found = policies({"spec.network": {"clients": clients}, "spec.routing.mode": "Router"})
    router = {"podSelector": {"matchLabels": ROUTERS}}
    web = {"podSelector": {"matchLabels": {"app": "web"}}}
    assert found["chat-router"]["podSelector"] == {"matchLabels": ROUTERS}
    (to_routers,) = found["chat-router"]["ingress"]
    (to_leaders,) = found["chat"]["ingress"]
    assert web in to_routers["from"]
    assert router not in to_routers["from"]
    assert to_leaders == {**to_routers, "from": [*to_routers["from"], router]}


def test_where_everybody_comes_in_routers_do_too():
    found = policies({"spec.routing.mode": "Router"})
    assert found["chat"] == policies()["chat"]
    assert "from" not in found["chat-router"]["ingress"][0]


@pytest.mark.parametrize("change", [{}, HOSTS], ids=str)
def test_where_none_is_wanted_there_is_none(change):
    assert policies({**change, "spec.network": {"policy": False}}) == {}
