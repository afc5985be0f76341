"""How many pods an eviction (a node drained, a cluster upgraded) may take at once."""

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.naming import selector
from radixloom_runtime.topology import Slice


def disruption_budget(service: LLMService, hardware: Slice) -> Manifest:
    """Return the budget: as many pods as `rollout.maxUnavailable` whole slices have.

    A budget counts pods and knows no slices. One pod at a time would block the draining of a node
    pool that holds one slice, after its first host; and a slice that lost a host is lost anyway.
    Pods that are not ready never stand in the way of a drain. Where a change may take no slice
    (maxUnavailable 0), an eviction still may take one: nodes would never be emptied.
    """
    return sealed(
        manifest(
            "policy/v1",
            "PodDisruptionBudget",
            service,
            service.name,
            spec={
                "maxUnavailable": max(1, service.spec.rollout.max_unavailable) * hardware.hosts,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": selector(service.name)},
            },
        )
    )
