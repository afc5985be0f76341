"""The routers before the leaders."""

import kubernetes_validate
import pytest
from support.llmservice_cases import manifest

from radixloom_operator.api.validation import Problem, accept
from radixloom_operator.desired import Desired, desired_objects
from radixloom_operator.naming import SERVICE_LABEL
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.router_settings import RouterSettings

ROUTED = {"spec.routing": {"mode": "Router"}}
ROUTERS = {"serving.radixloom.dev/router": "chat"}
LEADERS = {"serving.radixloom.dev/service": "chat", "apps.kubernetes.io/pod-index": "0"}


def desired(change=None, *, routers_serve: bool = True) -> Desired:
    service = accept(manifest(change))
    assert not isinstance(service, Problem)
    return desired_objects(service, OperatorSettings(), routers_serve=routers_serve)


def shared(change=None, *, routers_serve: bool = True) -> dict[tuple[str, str], dict]:
    found = desired(change, routers_serve=routers_serve).shared
    for one in found:
        kubernetes_validate.validate(one, "1.34", strict=True)
    return {(one["kind"], one["metadata"]["name"]): one["spec"] for one in found if "spec" in one}


def router_pod(change=None) -> dict:
    return shared({**ROUTED, **(change or {})})["Deployment", "chat-router"]["template"]


def test_without_being_asked_for_there_is_no_router():
    assert not any("router" in name for _, name in shared())
    assert shared()["Service", "chat"]["selector"] == LEADERS


@pytest.mark.parametrize(("serve", "selected"), [(True, ROUTERS), (False, LEADERS)])
def test_clients_are_sent_to_routers_while_one_serves(serve: bool, selected: dict[str, str]):
    assert shared(ROUTED, routers_serve=serve)["Service", "chat"]["selector"] == selected


def test_routers_find_leaders_ready_or_not_at_their_own_port():
    found = shared({**ROUTED, "spec.engine.port": 9000})
    leaders = found["Service", "chat-leaders"]
    assert leaders["clusterIP"] == "None"
    assert leaders["publishNotReadyAddresses"]
    assert leaders["selector"] == LEADERS
    (container,) = found["Deployment", "chat-router"]["template"]["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["RADIXLOOM_DISCOVER"] == "chat-leaders.default.svc:9000"


def test_a_router_takes_its_environment(monkeypatch: pytest.MonkeyPatch):
    (container,) = router_pod()["spec"]["containers"]
    for one in container["env"]:
        monkeypatch.setenv(one["name"], one["value"])
    settings = RouterSettings()
    assert settings.port == container["ports"][0]["containerPort"]
    assert settings.drain_seconds == 105
    assert settings.log_format == "json"


def test_routers_are_no_hosts_of_a_slice():
    labels = router_pod()["metadata"]["labels"]
    assert labels.items() >= ROUTERS.items()
    assert SERVICE_LABEL not in labels


def test_routers_are_fit_for_restricted_namespaces_and_have_no_token():
    spec = router_pod()["spec"]
    (container,) = spec["containers"]
    assert not spec["automountServiceAccountToken"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_is_asked_of_routers_is_what_they_get():
    routing = {
        "mode": "Router",
        "replicas": 5,
        "args": ["--requests-per-minute", "60"],
        "resources": {"cpu": 2, "memory": "1Gi"},
    }
    deployment = shared({"spec.routing": routing})["Deployment", "chat-router"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert deployment["replicas"] == 5
    assert container["args"] == ["route", "--requests-per-minute", "60"]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"memory": "1Gi"},
    }


def test_an_eviction_takes_one_router_at_a_time():
    budget = shared(ROUTED)["PodDisruptionBudget", "chat-router"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, {"matchLabels": ROUTERS})


def test_routing_restarts_no_slice():
    assert desired(ROUTED).revision.name == desired().revision.name
    assert desired(ROUTED).slices == desired().slices
