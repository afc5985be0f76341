"""Where pods run: node selectors, tolerations, affinity, and the device they ask for."""

from typing import Any

from radixloom_operator.api.hardware import Provisioning, TpuSlice
from radixloom_operator.api.types import LLMService
from radixloom_operator.naming import GENERATION_LABEL, SLICE_LABEL, slice_name
from radixloom_runtime.topology import Slice

ACCELERATOR_LABEL = "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY_LABEL = "cloud.google.com/gke-tpu-topology"
NODE_POOL_LABEL = "cloud.google.com/gke-nodepool"
SPOT_LABEL = "cloud.google.com/gke-spot"
FLEX_START_LABEL = "cloud.google.com/gke-flex-start"
QUEUED_TAINT = "cloud.google.com/gke-queued"
"""On nodes that were provisioned for a queued workload."""
RESERVATION_LABELS = (
    "cloud.google.com/reservation-name",
    "cloud.google.com/reservation-affinity",
    "cloud.google.com/reservation-project",
)
TPU_RESOURCE = "google.com/tpu"


def node_selector(service: LLMService, hardware: Slice) -> dict[str, str]:
    """Return the labels that a node must have."""
    selector: dict[str, str] = {}
    if hardware.accelerator is not None:
        selector[ACCELERATOR_LABEL] = hardware.accelerator.label
        selector[TOPOLOGY_LABEL] = hardware.topology
    selector |= _provisioning_labels(service.spec.tpu)
    return {**service.spec.pod_template.node_selector, **selector}


def _provisioning_labels(tpu: TpuSlice) -> dict[str, str]:
    name, affinity, project = RESERVATION_LABELS
    match tpu.provisioning:
        case Provisioning.SPOT:
            return {SPOT_LABEL: "true"}
        case Provisioning.FLEX_START:
            return {FLEX_START_LABEL: "true"}
        case Provisioning.RESERVATION:
            parts = (tpu.reservation or "").split("/")
            labels = {name: parts[-1], affinity: "specific"}
            return labels | ({project: parts[1]} if len(parts) > 1 else {})
        case Provisioning.ON_DEMAND:
            return {}


_PROVISIONING_TAINTS = {
    Provisioning.SPOT: (SPOT_LABEL,),
    Provisioning.FLEX_START: (FLEX_START_LABEL, QUEUED_TAINT),
}


def tolerations(service: LLMService, hardware: Slice) -> list[dict[str, Any]]:
    """Return the taints that the pods put up with: those of TPU nodes, and the user's."""
    result: list[dict[str, Any]] = []
    if hardware.accelerator is not None:
        result.append({"key": TPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"})
    result += [
        {"key": key, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        for key in _PROVISIONING_TAINTS.get(service.spec.tpu.provisioning, ())
    ]
    user = service.spec.pod_template.tolerations
    return result + [one.model_dump(by_alias=True, exclude_none=True) for one in user]


def affinity(service: LLMService, hardware: Slice, index: int) -> dict[str, Any] | None:
    """Keep a slice together in one node pool, and every other slice out of it.

    A node pool of several hosts is one slice: half of one and half of another never connect.
    """
    wanted = service.spec.tpu.exclusive_node_pool
    is_exclusive = hardware.hosts > 1 if wanted is None else wanted
    if hardware.accelerator is None or not is_exclusive:
        return None
    own = slice_name(service.name, index)
    others = [
        {"key": GENERATION_LABEL, "operator": "Exists"},
        {"key": SLICE_LABEL, "operator": "NotIn", "values": [own]},
    ]
    return {
        "podAffinity": _required({"matchLabels": {SLICE_LABEL: own}}),
        "podAntiAffinity": _required({"matchExpressions": others}, in_all_namespaces=True),
    }


def _required(label_selector: dict[str, Any], *, in_all_namespaces: bool = False) -> dict[str, Any]:
    term: dict[str, Any] = {"labelSelector": label_selector, "topologyKey": NODE_POOL_LABEL}
    if in_all_namespaces:
        term["namespaceSelector"] = {}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def resources(service: LLMService, hardware: Slice) -> dict[str, Any]:
    """Return what each host asks for.

    What the user states is a limit too, but for cpu: a throttled host slows its whole slice.
    """
    is_cpu = hardware.accelerator is None
    defaults = {"cpu": "500m", "memory": "2Gi"} if is_cpu else {"cpu": "4", "memory": "16Gi"}
    stated = {name: str(value) for name, value in service.spec.engine.host_resources.items()}
    requests = {**defaults, **stated}
    limits = {name: value for name, value in stated.items() if name != "cpu"}
    if not is_cpu:
        chips = {TPU_RESOURCE: str(hardware.chips_per_host)}
        requests, limits = {**requests, **chips}, {**limits, **chips}
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}
