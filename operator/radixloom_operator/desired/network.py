"""Who may reach the pods: one policy for leaders, one for what the hosts of a slice say.

Routers, where there are any, have one like that of leaders, and leaders let them in, too: clients
may go on reaching leaders, for as long as no router is available, and to read their metrics.

Policies add up: what none of them allows is refused. Kubelets' probes come from the pod's own node,
which network plugins let through.
"""

from typing import Any

from radixloom_operator.api.network import Client
from radixloom_operator.api.routing import RoutingMode
from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.naming import (
    OPERATOR_LABELS,
    hosts_service_name,
    leader_selector,
    router_name,
    router_selector,
    selector,
)
from radixloom_runtime.topology import Slice

Peer = dict[str, Any]


def network_policies(service: LLMService, hardware: Slice) -> tuple[Manifest, ...]:
    """Return the policies; none where the spec wants none."""
    if not service.spec.network.policy:
        return ()
    clients = _from_clients(service)
    leaders = _policy(
        service, service.name, leader_selector(service.name), _and_routers(service, clients)
    )
    policies = [leaders]
    if service.spec.routing.mode is RoutingMode.ROUTER:
        routers = router_name(service.name), router_selector(service.name)
        policies.append(_policy(service, *routers, clients))
    if hardware.hosts == 1:
        return tuple(policies)
    everyone = selector(service.name)
    hosts = _policy(
        service,
        hosts_service_name(service.name),
        everyone,
        {"from": [{"podSelector": {"matchLabels": everyone}}]},
    )
    return (*policies, hosts)


def _and_routers(service: LLMService, rule: dict[str, Any]) -> dict[str, Any]:
    """Let routers in, too, where there are any and not everybody comes in anyway."""
    if "from" not in rule or service.spec.routing.mode is not RoutingMode.ROUTER:
        return rule
    router = {"podSelector": {"matchLabels": router_selector(service.name)}}
    return {**rule, "from": [*rule["from"], router]}


def _from_clients(service: LLMService) -> dict[str, Any]:
    """Return the rule for HTTP; one without `from` lets everybody in."""
    rule: dict[str, Any] = {"ports": [{"port": "http", "protocol": "TCP"}]}
    clients = service.spec.network.clients
    if clients:
        # the operator asks leaders what their start took, and how busy they are
        operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": OPERATOR_LABELS}}
        rule["from"] = [operator, *(_peer(client) for client in clients)]
    return rule


def _peer(client: Client) -> Peer:
    peer: Peer = {}
    if client.namespace_labels is not None:
        peer["namespaceSelector"] = {"matchLabels": client.namespace_labels}
    if client.pod_labels is not None:
        peer["podSelector"] = {"matchLabels": client.pod_labels}
    return peer


def _policy(
    service: LLMService, name: str, pods: dict[str, str], ingress: dict[str, Any]
) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": pods},
        "policyTypes": ["Ingress"],
        "ingress": [ingress],
    }
    return sealed(manifest("networking.k8s.io/v1", "NetworkPolicy", service, name, spec=spec))
