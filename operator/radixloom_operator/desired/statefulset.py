"""One slice: a StatefulSet whose pods are the hosts.

OnDelete: the StatefulSet never replaces a pod on its own account, because the hosts of a slice
change together or not at all; `rollout.py` decides when.
"""

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.desired.revision import Revision
from radixloom_operator.desired.template import template_of_slice
from radixloom_operator.naming import (
    REVISION_LABEL,
    SLICE_INDEX_LABEL,
    SLICE_LABEL,
    SURGE_LABEL,
    hosts_service_name,
    slice_name,
)
from radixloom_runtime.topology import Slice

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Kueue holds the pods of what carries it until there is quota for all of them."""


def statefulset(
    service: LLMService, hardware: Slice, index: int, revision: Revision, *, is_surge: bool = False
) -> Manifest:
    """Return slice `index` of a revision."""
    name = slice_name(service.name, index)
    template = template_of_slice(revision.template, service.name, index)
    template["metadata"]["labels"][REVISION_LABEL] = revision.name
    document = manifest(
        "apps/v1",
        "StatefulSet",
        service,
        name,
        spec={
            "replicas": hardware.hosts,
            "serviceName": hosts_service_name(service.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {SLICE_LABEL: name}},
            "template": template,
        },
    )
    document["metadata"]["labels"] |= {
        SLICE_LABEL: name,
        SLICE_INDEX_LABEL: str(index),
        REVISION_LABEL: revision.name,
    }
    if service.spec.tpu.queue_name:
        document["metadata"]["labels"][QUEUE_LABEL] = service.spec.tpu.queue_name
    if is_surge:
        document["metadata"]["labels"][SURGE_LABEL] = "true"
    return sealed(document)
