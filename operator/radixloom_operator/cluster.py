"""What the operator asks of the API server, and every write that it makes but its lease's.

Blocking; called from worker threads.

Objects are plain dictionaries, as JSON has them. Writes are server-side apply with one field
manager, so that fields which others set stay theirs. Every write is conditional where it matters:
a new object is made only where none of that name exists, a deletion names the object's uid.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from radixloom_operator.connection import CONFLICT, INVALID, NOT_FOUND, Connection, Fence
from radixloom_operator.errors import ClusterError, NameTakenError, RefusedError
from radixloom_operator.gather import Gather
from radixloom_operator.naming import (
    API_VERSION,
    COMPONENT_LABEL,
    FIELD_MANAGER,
    GROUP,
    KIND,
    PLURAL,
    POOL_API_VERSION,
    POOL_KIND,
    REVISION_COMPONENT,
    ROUTE_API_VERSION,
    ROUTE_KIND,
    SCALE_MANAGER,
    SERVICE_LABEL,
    VERSION,
    Key,
    router_selector,
    selector_text,
)
from radixloom_operator.observed import World, is_owned

Manifest = dict[str, Any]

_SERVICES_PATH = f"/apis/{GROUP}/{VERSION}"
_COLLECTIONS = {
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "ControllerRevision": ("/apis/apps/v1", "controllerrevisions"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "Event": ("/api/v1", "events"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    POOL_KIND: (f"/apis/{POOL_API_VERSION}", "inferencepools"),
    ROUTE_KIND: (f"/apis/{ROUTE_API_VERSION}", "httproutes"),
    KIND: (_SERVICES_PATH, PLURAL),
}
SHARED_KINDS = ("ServiceAccount", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy")
"""What a service has once, and what is removed when it is wanted no more."""
GATEWAY_KINDS = (POOL_KIND, ROUTE_KIND)
"""The same, of custom resources that a cluster may lack."""

_NAMES_AT_ONCE = 64
"""Services in one list: what a request's line has room for."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_ALREADY_EXISTS = "AlreadyExists"


class Cluster:
    """What the operator reads and writes; safe to share between threads."""

    def __init__(self, connection: Connection, *, fence: Fence = lambda: None) -> None:
        """Read and write through `connection`; `fence` is asked before every write."""
        self._connection = connection
        self._fence = fence
        self._lasting: dict[str, _Worlds] = {}
        self._slices: dict[str, _Worlds] = {}

    # --- reading

    def serves_our_api(self) -> bool:
        """Tell whether the CustomResourceDefinition is installed."""
        return self._connection.get_or_none(_SERVICES_PATH) is not None

    def service(self, key: Key) -> Manifest | None:
        """Return the `LLMService`; None when there is none."""
        return self._connection.get_or_none(_path(KIND, key.namespace, key.name))

    def keys(self, namespaces: Iterable[str]) -> list[Key]:
        """List every `LLMService` in `namespaces`, or in all when there are none."""
        paths = [_path(KIND, name) for name in namespaces] or [f"{_SERVICES_PATH}/{PLURAL}"]
        return [
            Key(one["metadata"]["namespace"], one["metadata"]["name"])
            for path in paths
            for one in self._connection.request("GET", path)["items"]
        ]

    def world(self, key: Key, *, with_gateways: bool = False) -> World:
        """Return everything that carries the service's label; Gateways' objects where asked for."""
        before = self._gather(self._lasting, key.namespace, self._read_lasting).get(key.name)
        optional = {
            kind: self._labelled_or_none(kind, key) for kind in GATEWAY_KINDS if with_gateways
        }
        found = [one for ones in optional.values() if ones is not None for one in ones]
        missing = frozenset(kind for kind, ones in optional.items() if ones is None)
        before = replace(before, shared=(*before.shared, *found), missing_kinds=missing)
        return self.world_again(key, before)

    def world_again(self, key: Key, before: World) -> World:
        """Read the slices anew; what the service has once stays as it was seen before."""
        found = self._gather(self._slices, key.namespace, self._read_slices).get(key.name)
        return replace(before, statefulsets=found.statefulsets, pods=found.pods)

    def routers(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods of a service's routers."""
        return self._selected("Pod", key.namespace, selector_text(router_selector(key.name)))

    # --- writing

    def create(self, manifest: Manifest, *, owner_uid: str) -> None:
        """Apply an object that was not seen among the service's own.

        It may still exist: without our label, which applying mends, or in other hands.

        Raises:
            NameTakenError: an object of that name belongs to somebody else.
        """
        path = _path_of(manifest)
        existing = self._connection.get_or_none(path)
        if existing is not None and not is_owned(existing, owner_uid):
            raise NameTakenError(
                f"{manifest['kind']} {manifest['metadata']['name']} exists and does not belong to"
                " this LLMService; delete it or give the LLMService another name",
                status=CONFLICT,
            )
        self.apply(manifest)

    def apply(self, manifest: Manifest) -> None:
        """Make what we own of an object as `manifest` says; others' fields stay."""
        self._apply(_path_of(manifest), manifest)

    def restore(self, manifest: Manifest) -> None:
        """Apply an object that somebody edited.

        Who edits the key of a list's element (a Service's port) leaves an element that is theirs;
        applying ours beside it is refused as a duplicate. Then whole lists are put back first.
        """
        try:
            self.apply(manifest)
        except RefusedError as error:
            if error.status != INVALID:
                raise
            query = [("fieldManager", FIELD_MANAGER)]
            self._write(
                "PATCH", _path_of(manifest), query=query, body=manifest, content_type=_MERGE
            )
            self.apply(manifest)

    def apply_status(self, key: Key, uid: str, status: Manifest) -> None:
        """Write the status of the `LLMService` with `uid`, not of a namesake."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "status": status,
        }
        self._apply(f"{_path(KIND, key.namespace, key.name)}/status", body)

    def scale(self, seen: Manifest, replicas: int) -> None:
        """Write the replicas of the `LLMService` that was `seen`, if nobody wrote it since."""
        metadata = seen["metadata"]
        body = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        path = f"{_path(KIND, metadata['namespace'], metadata['name'])}/scale"
        query = [("fieldManager", SCALE_MANAGER)]
        self._write("PATCH", path, query=query, body=body, content_type=_MERGE)

    def create_once(self, manifest: Manifest) -> None:
        """Create an object; leave it as it is where it exists. Needs no right to read it."""
        metadata = manifest["metadata"]
        try:
            self._write("POST", _path(manifest["kind"], metadata["namespace"]), body=manifest)
        except ClusterError as error:
            if error.reason != _ALREADY_EXISTS:
                raise

    def annotate(self, live: Manifest, annotations: dict[str, str], *, manager: str) -> None:
        """Write annotations onto an object that was seen; they are `manager`'s.

        Applying the object under our usual name then leaves them as they are.
        """
        metadata = live["metadata"]
        body = {"metadata": {"uid": metadata["uid"], "annotations": annotations}}
        path = _path(live["kind"], metadata["namespace"], metadata["name"])
        query = [("fieldManager", manager)]
        self._write("PATCH", path, query=query, body=body, content_type=_MERGE)

    def delete(
        self, kind: str, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        """Delete the object with `uid`; its dependants follow. Gone already is fine."""
        body: Manifest = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            self._write("DELETE", _path(kind, namespace, name), body=body)
        except ClusterError as error:
            if error.status != NOT_FOUND and not _is_of_another_uid(error):
                raise

    # --- underneath

    def _gather(
        self,
        known: "dict[str, _Worlds]",
        namespace: str,
        read: Callable[[str, frozenset[str]], dict[str, World]],
    ) -> "_Worlds":
        """Return what gathers the turns of one namespace: a list is of one, or of all."""
        gather = known.get(namespace)
        if gather is None:
            made = Gather(functools.partial(read, namespace), most=_NAMES_AT_ONCE)
            gather = known.setdefault(namespace, made)
        return gather

    def _read_lasting(self, namespace: str, names: frozenset[str]) -> dict[str, World]:
        """Read what services have once."""
        shared = [one for kind in SHARED_KINDS for one in self._labelled(kind, namespace, names)]
        # a StatefulSet's own revisions carry our labels as well
        ours = f",{COMPONENT_LABEL}={REVISION_COMPONENT}"
        revisions = self._labelled("ControllerRevision", namespace, names, ours)
        return {
            name: World(revisions=_of(name, revisions), shared=_of(name, shared)) for name in names
        }

    def _read_slices(self, namespace: str, names: frozenset[str]) -> dict[str, World]:
        """Read the slices of services."""
        statefulsets = self._labelled("StatefulSet", namespace, names)
        pods = self._labelled("Pod", namespace, names)
        return {
            name: World(statefulsets=_of(name, statefulsets), pods=_of(name, pods))
            for name in names
        }

    def _labelled_or_none(self, kind: str, key: Key) -> tuple[Manifest, ...] | None:
        """Return what carries the service's label; None where there is no such kind."""
        try:
            return self._labelled(kind, key.namespace, frozenset({key.name}))
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def _labelled(
        self, kind: str, namespace: str, names: frozenset[str], more: str = ""
    ) -> tuple[Manifest, ...]:
        services = f"{SERVICE_LABEL} in ({','.join(sorted(names))})"
        return self._selected(kind, namespace, services + more)

    def _selected(self, kind: str, namespace: str, labels: str) -> tuple[Manifest, ...]:
        query = [("labelSelector", labels)]
        answer = self._connection.request("GET", _path(kind, namespace), query=query)
        # items of a list leave out what the list says for all of them
        head = {"apiVersion": answer["apiVersion"], "kind": kind}
        return tuple({**head, **one} for one in answer["items"])

    def _apply(self, path: str, body: Manifest) -> None:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        self._write("PATCH", path, query=query, body=body, content_type=_APPLY)

    def _write(self, method: str, path: str, **options: Any) -> Manifest:
        """Do a request that changes something, if we may still write."""
        self._fence()
        return self._connection.request(method, path, **options)


_Worlds = Gather[str, World]


def _of(service: str, manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    return tuple(one for one in manifests if one["metadata"]["labels"][SERVICE_LABEL] == service)


def _is_of_another_uid(error: ClusterError) -> bool:
    """Tell a name that was taken anew from any other conflict, which is to be tried again."""
    return error.status == CONFLICT and "precondition" in str(error).lower()


def _path(kind: str, namespace: str, name: str = "") -> str:
    root, plural = _COLLECTIONS[kind]
    collection = f"{root}/namespaces/{namespace}/{plural}"
    return f"{collection}/{name}" if name else collection


def _path_of(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return _path(manifest["kind"], metadata["namespace"], metadata["name"])


def service_of(manifest: Manifest) -> Key | None:
    """Return the service that a watched object belongs to; None when it is nobody's."""
    metadata = manifest.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(SERVICE_LABEL)
    return Key(metadata["namespace"], name) if name else None
