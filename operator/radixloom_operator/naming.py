"""Names and labels: which object belongs to which service, worked out, never looked up.

LLMService chat
├── StatefulSet chat-s0, chat-s1      one per slice (replica)
│   └── Pod chat-s0-0, chat-s0-1      one per host; host 0 leads
├── Service chat                      clients, leaders only
├── Service chat-hosts                headless: a DNS name for every host
├── ControllerRevision chat-<digest>  one per revision that is remembered
├── PodDisruptionBudget chat
├── NetworkPolicy chat, chat-hosts    who reaches leaders, and hosts each other
├── with spec.routing.mode Router:
│   ├── Deployment chat-router        and a PodDisruptionBudget and NetworkPolicy of that name
│   └── Service chat-leaders          headless: the leaders' addresses, ready or not
├── with spec.routing.mode InferencePool:
│   └── InferencePool chat            and an HTTPRoute of that name, where Gateways are named
├── ServiceAccount chat
└── Secret chat-wire                  multi-host slices only
"""

from dataclasses import dataclass

from typing_extensions import override

GROUP = "serving.radixloom.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "LLMService"
PLURAL = "llmservices"

POOL_GROUP = "inference.networking.k8s.io"
POOL_API_VERSION = f"{POOL_GROUP}/v1"
POOL_KIND = "InferencePool"
ROUTE_API_VERSION = "gateway.networking.k8s.io/v1"
ROUTE_KIND = "HTTPRoute"

FIELD_MANAGER = "radixloom-operator"
RECORD_MANAGER = "radixloom-operator-restarts"
"""Owns the record of a slice's restarts, so that applying the slice leaves it alone."""
SCALE_MANAGER = "radixloom-operator-autoscaler"
"""Owns the replicas of services that scale by load, until somebody else writes them."""

SERVICE_LABEL = f"{GROUP}/service"
"""On everything the operator makes; its value is the LLMService's name."""
SLICE_LABEL = f"{GROUP}/slice"
"""On StatefulSets and pods; its value is the slice's name."""
SLICE_INDEX_LABEL = f"{GROUP}/slice-index"
GENERATION_LABEL = f"{GROUP}/tpu-generation"
"""On pods that hold TPUs: what keeps one slice off another's node pool looks for it."""
REVISION_LABEL = f"{GROUP}/revision"
"""On StatefulSets and pods: which pod template they were made from."""
DIGEST_ANNOTATION = f"{GROUP}/applied"
"""Digest of what was applied, so that a field we no longer want is noticed."""
SURGE_LABEL = f"{GROUP}/surge"
"""On StatefulSets that a rollout adds for a while, beyond the replicas asked for."""
OPERATOR_LABELS = {"app.kubernetes.io/name": "radixloom-operator"}
"""On the operator's own pods, by the chart."""
ROUTER_LABEL = f"{GROUP}/router"
"""On routers' pods, which carry no SERVICE_LABEL: they are no hosts of a slice. Its value is the
LLMService's name."""
COMPONENT_LABEL = "app.kubernetes.io/component"
REVISION_COMPONENT = "revision"
"""Component of what the history is written down in."""
RECORD_ANNOTATION = f"{GROUP}/restarts"
"""On StatefulSets: what is remembered of the slice's restarts (restarts.py)."""
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
"""Set by the StatefulSet controller (Kubernetes 1.28 and later)."""

MAX_NAME_LENGTH = 40
"""Leaves room for `-s<slice>-<host>` and the controller's own hash in 63 characters."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One `LLMService`."""

    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def slice_name(service: str, index: int) -> str:
    """Name the StatefulSet of slice `index`."""
    return f"{service}-s{index}"


def pod_name(service: str, index: int, host: int) -> str:
    """Name the pod on `host` of slice `index`."""
    return f"{slice_name(service, index)}-{host}"


def hosts_service_name(service: str) -> str:
    """Name the headless Service that gives every host a DNS name."""
    return f"{service}-hosts"


def leaders_service_name(service: str) -> str:
    """Name the headless Service by which routers find leaders."""
    return f"{service}-leaders"


def router_name(service: str) -> str:
    """Name the Deployment of routers."""
    return f"{service}-router"


def wire_secret_name(service: str) -> str:
    """Name the Secret that the hosts of a slice share."""
    return f"{service}-wire"


def selector(service: str) -> dict[str, str]:
    """Labels that select everything of one service."""
    return {SERVICE_LABEL: service}


def leader_selector(service: str) -> dict[str, str]:
    """Labels that select the leaders: the pods that answer clients, one per slice."""
    return {SERVICE_LABEL: service, POD_INDEX_LABEL: "0"}


def router_selector(service: str) -> dict[str, str]:
    """Labels that select the routers' pods."""
    return {ROUTER_LABEL: service}


def selector_text(labels: dict[str, str]) -> str:
    """Write a label selector as `kubectl -l` takes it."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def common_labels(service: str) -> dict[str, str]:
    """Labels on everything the operator makes."""
    return {
        "app.kubernetes.io/name": "radixloom",
        "app.kubernetes.io/instance": service,
        COMPONENT_LABEL: "engine",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        **selector(service),
    }
