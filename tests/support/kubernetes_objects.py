"""Pods and StatefulSets as an API server shows them, made small for tests."""

from typing import Any

from radixloom_operator.naming import (
    POD_INDEX_LABEL,
    REVISION_LABEL,
    SERVICE_LABEL,
    SLICE_INDEX_LABEL,
    SLICE_LABEL,
)

OWNER_UID = "u-1"


def statefulset(
    index: int, *, revision: str = "new", hosts: int = 1, service: str = "chat", **metadata: Any
) -> dict[str, Any]:
    """Return slice `index` of the service."""
    name = f"{service}-s{index}"
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {
                SERVICE_LABEL: service,
                SLICE_LABEL: name,
                SLICE_INDEX_LABEL: str(index),
                REVISION_LABEL: revision,
            },
            "ownerReferences": [{"uid": OWNER_UID, "controller": True}],
            **metadata,
        },
        "spec": {"replicas": hosts},
    }


def pod(
    index: int,
    *,
    host: int = 0,
    revision: str = "new",
    status: dict[str, Any] | None = None,
    is_ending: bool = False,
    service: str = "chat",
) -> dict[str, Any]:
    """Return a pod of slice `index`; ready unless `status` says otherwise."""
    name = f"{service}-s{index}-{host}"
    metadata: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}-{revision}",
        "labels": {
            SERVICE_LABEL: service,
            SLICE_LABEL: f"{service}-s{index}",
            SLICE_INDEX_LABEL: str(index),
            REVISION_LABEL: revision,
            POD_INDEX_LABEL: str(host),
        },
    }
    if is_ending:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "status": READY if status is None else status,
    }


def engine(
    state: dict[str, Any],
    *,
    restarts: int = 0,
    started: bool = False,
    ready: bool = False,
    last: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a pod's status by that of its engine's container."""
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {
                "name": "engine",
                "image": "runtime:1",
                "state": state,
                "lastState": {"terminated": last} if last else {},
                "restartCount": restarts,
                "started": started,
                "ready": ready,
            }
        ],
    }


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
READY = engine(RUNNING, started=True, ready=True)
LOADING = engine(RUNNING)
NOT_READY = engine(RUNNING, started=True)
CREATING = engine({"waiting": {"reason": "ContainerCreating"}})
IMAGE_MISSING = engine(
    {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "runtime:1"'}}
)
CRASHING = engine(
    {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
    restarts=1,
    last={"exitCode": 2, "reason": "Error", "message": "loading\nmodel broken; fetch it again\n"},
)


def unschedulable(message: str) -> dict[str, Any]:
    """Return the status of a pod without a node."""
    return {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
            }
        ],
    }
