"""Who may reach the pods: one policy for leaders, one for what the hosts of a slice say.

Policies add up: what none of them allows is refused. Kubelets' probes come from the pod's own node,
which network plugins let through.
"""

from typing import Any

from radixloom_operator.api.network import Client
from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.naming import (
    OPERATOR_LABELS,
    hosts_service_name,
    leader_selector,
    selector,
)
from radixloom_runtime.topology import Slice

Peer = dict[str, Any]


def network_policies(service: LLMService, hardware: Slice) -> tuple[Manifest, ...]:
    """Return the policies; none where the spec wants none."""
    if not service.spec.network.policy:
        return ()
    leaders = _policy(service, service.name, leader_selector(service.name), _from_clients(service))
    if hardware.hosts == 1:
        return (leaders,)
    everyone = selector(service.name)
    hosts = _policy(
        service,
        hosts_service_name(service.name),
        everyone,
        {"from": [{"podSelector": {"matchLabels": everyone}}]},
    )
    return leaders, hosts


def _from_clients(service: LLMService) -> dict[str, Any]:
    """Return the rule for HTTP; one without `from` lets everybody in."""
    rule: dict[str, Any] = {"ports": [{"port": "http", "protocol": "TCP"}]}
    clients = service.spec.network.clients
    if clients:
        # the operator asks leaders what their start took
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
