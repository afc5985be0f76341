"""Who says how many replicas there are, where it is not us. Pure.

The API server writes down who set `spec.replicas`, and how (`metadata.managedFields`):

    through /scale        HorizontalPodAutoscaler, KEDA, `kubectl scale`   it is theirs
    by server-side apply  a manifest that has `replicas`                   it is theirs
    by anything else      `kubectl apply`, `kubectl edit`                  where we begin

Two that both write would undo each other's work for ever; so we write nothing while it is theirs.
A value that is written in the third way, or by us, takes it from those that were before.
"""

from collections.abc import Iterator
from typing import Any

from radixloom_operator.naming import SCALE_MANAGER


def owner_elsewhere(manifest: dict[str, Any]) -> str | None:
    """Name who owns `spec.replicas` and would write it again; None when we may write it."""
    return next(_owners(manifest), None)


def _owners(manifest: dict[str, Any]) -> Iterator[str]:
    for entry in manifest["metadata"].get("managedFields") or ():
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if "f:replicas" not in spec or entry.get("manager") == SCALE_MANAGER:
            continue
        if entry.get("subresource") == "scale":
            yield f"{entry.get('manager')} (through /scale)"
        elif entry.get("operation") == "Apply":
            yield f"{entry.get('manager')} (by server-side apply)"
