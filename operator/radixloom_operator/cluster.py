"""The API server: the only module that talks to it. Blocking; called from worker threads.

Objects are plain dictionaries, as JSON has them. Writes are server-side apply with one field
manager, so that fields which others set stay theirs. Every write is conditional where it matters:
a new object is made only where none of that name exists, a deletion names the object's uid.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import urllib3.exceptions
from kubernetes import client, config
from typing_extensions import override

from radixloom_operator.errors import ClusterError, NameTakenError, RefusedError
from radixloom_operator.naming import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    KIND,
    PLURAL,
    SERVICE_LABEL,
    VERSION,
    selector,
    selector_text,
)
from radixloom_operator.observed import World, is_owned

Manifest = dict[str, Any]

_SERVICES_PATH = f"/apis/{GROUP}/{VERSION}"
_COLLECTIONS = {
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "Event": ("/api/v1", "events"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    KIND: (_SERVICES_PATH, PLURAL),
}
SHARED_KINDS = ("ServiceAccount", "Service", "PodDisruptionBudget")
"""What a service has once, and what is removed when it is wanted no more."""

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_TIMEOUT_SECONDS = (10, 60)
_NOT_FOUND = 404
_CONFLICT = 409
_INVALID = 422
_CONVERSION = "unable to convert unstructured object"
"""An apply of a value of the wrong kind, such as a quantity "lots", is answered with status 500."""
_REFUSALS = {400, 403, _INVALID}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One `LLMService`."""

    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Cluster:
    """A connection to the API server, safe to share between threads."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    def connect(cls, *, connections: int) -> "Cluster":
        """Connect as the pod's service account, or else as the kubeconfig says."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            config.load_kube_config(client_configuration=settings)
        settings.connection_pool_maxsize = connections
        return cls(client.ApiClient(settings))

    # --- reading

    def serves_our_api(self) -> bool:
        """Tell whether the CustomResourceDefinition is installed."""
        return self._get_or_none(_SERVICES_PATH) is not None

    def service(self, key: Key) -> Manifest | None:
        """Return the `LLMService`; None when there is none."""
        return self._get_or_none(_path(KIND, key.namespace, key.name))

    def keys(self, namespaces: Iterable[str]) -> list[Key]:
        """List every `LLMService` in `namespaces`, or in all when there are none."""
        paths = [_path(KIND, name) for name in namespaces] or [f"{_SERVICES_PATH}/{PLURAL}"]
        return [
            Key(one["metadata"]["namespace"], one["metadata"]["name"])
            for path in paths
            for one in self._request("GET", path)["items"]
        ]

    def world(self, key: Key) -> World:
        """Return everything that carries the service's label."""
        listed = {kind: self._labelled(kind, key) for kind in ("StatefulSet", "Pod", *SHARED_KINDS)}
        return World(
            statefulsets=listed["StatefulSet"],
            pods=listed["Pod"],
            shared=tuple(one for kind in SHARED_KINDS for one in listed[kind]),
        )

    # --- writing

    def create(self, manifest: Manifest, *, owner_uid: str) -> None:
        """Apply an object that was not seen among the service's own.

        It may still exist: without our label, which applying mends, or in other hands.

        Raises:
            NameTakenError: an object of that name belongs to somebody else.
        """
        path = _path_of(manifest)
        existing = self._get_or_none(path)
        if existing is not None and not is_owned(existing, owner_uid):
            raise NameTakenError(
                f"{manifest['kind']} {manifest['metadata']['name']} exists and does not belong to"
                " this LLMService; delete it or give the LLMService another name",
                status=_CONFLICT,
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
            if error.status != _INVALID:
                raise
            query = [("fieldManager", FIELD_MANAGER)]
            self._request(
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

    def create_once(self, manifest: Manifest) -> None:
        """Create an object; leave it as it is where it exists. Needs no right to read it."""
        metadata = manifest["metadata"]
        try:
            self._request("POST", _path(manifest["kind"], metadata["namespace"]), body=manifest)
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise

    def delete(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """Delete the object with `uid`; its dependants follow. Gone already is fine."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            self._request("DELETE", _path(kind, namespace, name), body=body)
        except ClusterError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):  # conflict: another uid by now
                raise

    # --- underneath

    def _labelled(self, kind: str, key: Key) -> tuple[Manifest, ...]:
        query = [("labelSelector", selector_text(selector(key.name)))]
        answer = self._request("GET", _path(kind, key.namespace), query=query)
        # items of a list leave out what the list says for all of them
        head = {"apiVersion": answer["apiVersion"], "kind": kind}
        return tuple({**head, **one} for one in answer["items"])

    def _get_or_none(self, path: str) -> Manifest | None:
        try:
            return self._request("GET", path)
        except ClusterError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _apply(self, path: str, body: Manifest) -> None:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        self._request("PATCH", path, query=query, body=body, content_type=_APPLY)

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Manifest:
        """Do one request and return the answer.

        Raises:
            ClusterError: the answer was an error, or there was none.
        """
        headers = {"Accept": _JSON, "Content-Type": content_type}
        parameters = self._api.param_serialize(
            method,
            path,
            query_params=query or [],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*parameters, _request_timeout=_TIMEOUT_SECONDS)
            answer = cast("bytes", response.read())
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                f"{method} {path}: no answer from the API server: {error}"
            ) from error
        if response.status >= 400:
            raise _error(response.status, f"{method} {path}", answer)
        return json.loads(answer) if answer else {}


def _error(status: int, request: str, answer: bytes) -> ClusterError:
    """Return the error for an answer; its sentence is the API server's own."""
    try:
        message = str(json.loads(answer).get("message", ""))
    except (ValueError, AttributeError):
        message = answer.decode(errors="replace")[:300]
    is_refusal = status in _REFUSALS or _CONVERSION in message
    kind = RefusedError if is_refusal else ClusterError
    return kind(message or f"{request}: status {status}", status=status)


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
