"""One slice: a StatefulSet whose pods are the hosts.

OnDelete: the StatefulSet never replaces a pod on its own account, because the hosts of a slice
change together or not at all; `rollout.py` decides when.
"""

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, digest, manifest, sealed
from radixloom_operator.desired.pod import pod_template
from radixloom_operator.naming import (
    REVISION_LABEL,
    SLICE_INDEX_LABEL,
    SLICE_LABEL,
    hosts_service_name,
    slice_name,
)
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.topology import Slice


def revision(service: LLMService, hardware: Slice, settings: OperatorSettings) -> str:
    """Name the pod template; all slices share it, whatever their index.

    It is made of what we ask for and not of what the API server stores, so that a default that a
    newer server adds restarts nothing.
    """
    return digest(pod_template(service, hardware, 0, settings))


def statefulset(
    service: LLMService,
    hardware: Slice,
    index: int,
    settings: OperatorSettings,
    *,
    template_revision: str,
) -> Manifest:
    """Return slice `index`."""
    name = slice_name(service.name, index)
    template = pod_template(service, hardware, index, settings)
    template["metadata"]["labels"][REVISION_LABEL] = template_revision
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
        REVISION_LABEL: template_revision,
    }
    return sealed(document)
