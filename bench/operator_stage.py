"""A service at a real API server without nodes: its spec, and what became of it.

etcd, kube-apiserver and controller manager are real; no kubelet: pods are told ready as soon as
they are there.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config

from hack.cluster.bare import BareCluster, bare_cluster
from radixloom_operator.api.schema import custom_resource_definition
from radixloom_operator.connection import Connection
from radixloom_operator.errors import ClusterError
from radixloom_operator.naming import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    SERVICE_LABEL,
    VERSION,
    wire_secret_name,
)

Manifest = dict[str, Any]

NAME = "chat"
LEASES = "radixloom-system"
_LIMIT_SECONDS = 180.0
"""Many times what a step takes: a machine of two busy cores must not fail it."""
_LOOK_SECONDS = 0.2
_READY = {
    "phase": "Running",
    "conditions": [
        {"type": kind, "status": "True"} for kind in ("PodScheduled", "ContainersReady", "Ready")
    ],
}
_KINDS = (
    ("/api/v1", "services"),
    ("/api/v1", "serviceaccounts"),
    ("/api/v1", "secrets"),
    ("/api/v1", "pods"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/apps/v1", "controllerrevisions"),
    ("/apis/policy/v1", "poddisruptionbudgets"),
    ("/apis/networking.k8s.io/v1", "networkpolicies"),
)
_OWN = ("name", "namespace", "labels", "annotations")
"""Of metadata; the rest is the API server's."""
_ASSIGNED = frozenset({"status", "data", "clusterIP", "clusterIPs"})


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace in which the life of one service is lived."""

    admin: Connection
    namespace: str

    @property
    def _path(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"

    def apply(self, spec: Manifest) -> None:
        """Write the spec of the service, which may be new."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "model": {"uri": "hf://acme/tiny"},
                "tpu": {"generation": "cpu", "hosts": 2},
                **spec,
            },
        }
        self.admin.request(
            "PATCH",
            f"{self._path}/{NAME}",
            query=[("fieldManager", "user"), ("force", "true")],
            body=body,
            content_type="application/apply-patch+yaml",
        )

    def service(self) -> Manifest:
        """Return the service."""
        return self.admin.request("GET", f"{self._path}/{NAME}")

    def is_settled(self) -> bool:
        """Tell whether the status says that all is as the spec asks."""
        service = self.service()
        status = service.get("status") or {}
        replicas = service["spec"]["replicas"]
        counts = [status.get(name) for name in ("replicas", "readyReplicas", "updatedReplicas")]
        is_current = status.get("observedGeneration") == service["metadata"]["generation"]
        slices = status.get("slices") or ()
        return is_current and counts == [replicas] * 3 and len(slices) == replicas

    def children(self) -> list[Manifest]:
        """List everything that carries the service's label."""
        query = [("labelSelector", f"{SERVICE_LABEL}={NAME}")]
        found: list[Manifest] = []
        for root, plural in _KINDS:
            path = f"{root}/namespaces/{self.namespace}/{plural}"
            items = self.admin.request("GET", path, query=query)["items"]
            found += [{**one, "kind": plural} for one in items]
        return found

    def outcome(self) -> Manifest:
        """Return what there is, without what differs from one life to the next."""
        service = self.service()
        uid = service["metadata"]["uid"]
        told = [
            (one["type"], one["status"], one["reason"]) for one in service["status"]["conditions"]
        ]
        objects: Manifest = {"conditions": sorted(told)}
        for one in self.children():
            owners = [owner["uid"] for owner in one["metadata"].get("ownerReferences", ())]
            is_ours = one["kind"] != "pods" and "controller.kubernetes.io/hash" not in str(
                one["metadata"].get("labels")
            )
            if is_ours and owners != [uid]:
                raise SystemExit(f"an orphan: {one['kind']} {one['metadata']['name']}")
            name = one["metadata"]["name"]
            if one["kind"] == "controllerrevisions" and not is_ours:
                continue
            objects[f"{one['kind']}/{name}"] = _plain(one)
        return objects

    def leaks(self, log: Path) -> list[str]:
        """Say where the secret that a slice's hosts share is told, but in its Secret."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{wire_secret_name(NAME)}"
        encoded: str = self.admin.request("GET", path)["data"]["secret"]
        events = self.admin.request("GET", f"/api/v1/namespaces/{self.namespace}/events")
        places = {
            "the operator's log": log.read_text(),
            "the service": json.dumps(self.service()),
            "events": json.dumps(events),
            "children": json.dumps([one for one in self.children() if one["kind"] != "secrets"]),
        }
        secret = base64.b64decode(encoded).decode()
        return [place for place, text in places.items() if secret in text or encoded in text]

    def delete(self) -> None:
        """Delete the service, as a user would."""
        self.admin.request("DELETE", f"{self._path}/{NAME}")


def _plain(one: Manifest) -> Manifest:
    metadata = {key: value for key, value in one["metadata"].items() if key in _OWN}
    metadata.pop("namespace")
    annotations = metadata.get("annotations", {})
    metadata["annotations"] = {
        # uids of pods and of the owner are in these
        key: "set" if key.startswith(GROUP) else value
        for key, value in annotations.items()
    }
    spec = _without(one.get("spec") or {}) if one["kind"] != "pods" else {}
    return {"metadata": metadata, "spec": spec}


def _without(document: Any) -> Any:
    if isinstance(document, dict):
        mapping = cast("Manifest", document)
        return {key: _without(value) for key, value in mapping.items() if key not in _ASSIGNED}
    return document


# --- the world around the operator


@contextmanager
def world() -> Generator[tuple[BareCluster, Connection]]:
    """Yield a control plane whose pods become ready by themselves."""
    with bare_cluster() as cluster:
        settings = client.Configuration()
        config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
        admin = Connection(client.ApiClient(settings))
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        admin.request("POST", definitions, body=custom_resource_definition())
        wait("the definition is served", lambda: _is_served(admin))
        make_namespace(admin, LEASES)
        ended = threading.Event()
        kubelet = threading.Thread(target=_play_kubelet, args=(cluster, ended))
        kubelet.start()
        try:
            yield cluster, admin
        finally:
            ended.set()
            kubelet.join()


def _is_served(admin: Connection) -> bool:
    return admin.get_or_none(f"/apis/{GROUP}/{VERSION}/{PLURAL}") is not None


def make_namespace(admin: Connection, name: str) -> None:
    """Make a namespace."""
    metadata = {"name": name}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    admin.request("POST", "/api/v1/namespaces", body=body)


def _play_kubelet(cluster: BareCluster, ended: threading.Event) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    admin = Connection(client.ApiClient(settings))
    while not ended.wait(_LOOK_SECONDS):
        # a pod was replaced meanwhile, or a busy API server did not answer: the next look tells
        with contextlib.suppress(ClusterError):
            for pod in admin.request("GET", "/api/v1/pods")["items"]:
                if pod["status"].get("phase") != "Running":
                    _tell_ready(admin, pod["metadata"])


def _tell_ready(admin: Connection, pod: Manifest) -> None:
    path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/status"
    body = {"metadata": {"uid": pod["uid"]}, "status": _READY}
    admin.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def wait(what: str, look: Callable[[], bool]) -> None:
    """Wait until `look` says yes, bounded."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"not after {_LIMIT_SECONDS:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)
