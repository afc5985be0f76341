"""The head that every object has: names, labels, owner."""

import hashlib
import json
from typing import Any

from radixloom_operator.api.types import LLMService
from radixloom_operator.naming import API_VERSION, DIGEST_ANNOTATION, KIND, common_labels

Manifest = dict[str, Any]


def manifest(api_version: str, kind: str, service: LLMService, name: str, **body: Any) -> Manifest:
    """Return an object named `name` that belongs to `service`."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": service.namespace,
            "labels": common_labels(service.name),
            "ownerReferences": [owner_reference(service)],
        },
        **body,
    }


def owner_reference(service: LLMService) -> Manifest:
    """Return the reference by which the garbage collector finds what to delete.

    `blockOwnerDeletion` would ask for rights on finalizers, and nothing needs to be gone first.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": service.name,
        "uid": service.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def digest(document: object, *, length: int = 10) -> str:
    """Return a short name of a document's content, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def sealed(document: Manifest) -> Manifest:
    """Write the digest of what is wanted onto the object.

    A field that is wanted no more is not seen by comparing; a changed digest is.
    """
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), DIGEST_ANNOTATION: digest(document)}
    return {**document, "metadata": {**metadata, "annotations": annotations}}
