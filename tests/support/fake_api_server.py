"""A small API server over real HTTP, for the parts of the operator that talk to one.

It stores objects, lists them by label, takes server-side apply (by merging), status patches,
replicas through /scale and conditional deletes, and makes a StatefulSet's pods when asked to. What
depends on the real thing (field ownership, CEL, garbage collection) is tested against a real
cluster.
"""

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client
from support.kubernetes_objects import READY
from typing_extensions import override

from radixloom_operator.cluster import Cluster
from radixloom_operator.connection import Connection
from radixloom_operator.naming import POD_INDEX_LABEL, SERVICE_LABEL

Manifest = dict[str, Any]
PREFIX = "/apis/serving.radixloom.dev/v1alpha1"


@dataclass
class Store:
    """Everything the server holds, and how it misbehaves."""

    objects: dict[str, Manifest] = field(default_factory=dict)
    """By path."""
    writes: list[str] = field(default_factory=list)
    """Method and path of every write that changed something."""
    custom: dict[str, str] = field(default_factory=dict)
    """Plurals of custom resources that are installed, and their apiVersion."""
    requests: int = 0
    fault: Callable[[str, str, int], int | None] = lambda method, path, number: None
    """Method, path and number of a request to the status that it fails with."""
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put_service(self, manifest: Manifest) -> None:
        """Store an LLMService as `kubectl apply` would."""
        metadata = manifest["metadata"]
        path = f"{PREFIX}/namespaces/{metadata['namespace']}/llmservices/{metadata['name']}"
        before = self.objects.get(path, {})
        generation = before.get("metadata", {}).get("generation", 0)
        changed = before.get("spec") != manifest["spec"]
        merged = {**copy.deepcopy(manifest), "status": before.get("status")}
        merged["metadata"]["generation"] = generation + (1 if changed else 0)
        merged["metadata"]["resourceVersion"] = str(next(self.counter))
        self.objects[path] = {key: value for key, value in merged.items() if value}

    def find(self, plural: str, name: str) -> Manifest:
        """Return the object of that kind and name."""
        (found,) = (one for path, one in self.objects.items() if path.endswith(f"/{plural}/{name}"))
        return found

    def names(self, plural: str) -> list[str]:
        """List the names of a kind."""
        return sorted(
            path.rsplit("/", 1)[1] for path in self.objects if path.rsplit("/", 2)[1] == plural
        )

    def run_statefulsets(self, *, status: Manifest = READY) -> None:
        """Make the pods that StatefulSets lack, and drop those of no StatefulSet."""
        kinds = [(path, one) for path, one in self.objects.items() if "/statefulsets/" in path]
        wanted: dict[str, Manifest] = {}
        for path, one in kinds:
            namespace = path.split("/")[5]
            for host in range(one["spec"]["replicas"]):
                name = f"{one['metadata']['name']}-{host}"
                labels = {**one["spec"]["template"]["metadata"]["labels"]}
                wanted[f"/api/v1/namespaces/{namespace}/pods/{name}"] = {
                    "metadata": {
                        "name": name,
                        "uid": f"pod-{next(self.counter)}",
                        "labels": {**labels, POD_INDEX_LABEL: str(host)},
                    },
                    "spec": one["spec"]["template"]["spec"],
                    "status": status,
                }
        hosts = [
            path
            for path, one in self.objects.items()
            if "/pods/" in path and SERVICE_LABEL in one["metadata"]["labels"]
        ]
        for path in hosts:
            if path not in wanted:
                del self.objects[path]
        for path, one in wanted.items():
            self.objects.setdefault(path, one)


@contextmanager
def fake_api_server() -> Iterator[tuple[Store, Cluster]]:
    """Serve a store on a local port and connect to it."""
    store = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    settings = client.Configuration()
    settings.host = f"http://127.0.0.1:{server.server_address[1]}"
    settings.retries = False
    api = client.ApiClient(settings)
    try:
        yield store, Cluster(Connection(api))
    finally:
        api.rest_client.pool_manager.clear()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one packet, else each answer waits for an ACK

        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            with store.lock:
                store.requests += 1
                status = store.fault(self.command, url.path, store.requests)
                if status is None:
                    status, answer = _answer(
                        store, self.command, url.path, parse_qs(url.query), body
                    )
                else:
                    answer = {"kind": "Status", "message": f"fault {status}"}
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def _answer(
    store: Store, method: str, path: str, query: dict[str, list[str]], body: Manifest
) -> tuple[int, Manifest]:
    match method:
        case "GET":
            return _get(store, path, query)
        case "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in store.objects:
                return 409, {"message": "already exists", "reason": "AlreadyExists"}
            return 201, _put(store, "POST", path, body)
        case "PUT":
            return _replace(store, path, body)
        case "PATCH" if path.endswith("/status"):
            return _patch_status(store, path.removesuffix("/status"), body)
        case "PATCH" if path.endswith("/scale"):
            return _scale(store, path.removesuffix("/scale"), query, body)
        case "PATCH":
            return 200, _put(store, "PATCH", path, _merge(store.objects.get(path, {}), body))
        case _:
            return _delete(store, path, body)


def _get(store: Store, path: str, query: dict[str, list[str]]) -> tuple[int, Manifest]:
    if path in store.objects:
        return 200, store.objects[path]
    if path == PREFIX:
        return 200, {"kind": "APIResourceList"}
    plural = path.rsplit("/", 1)[1]
    lists = _LISTS | store.custom
    if plural not in lists:
        return 404, {"message": f"{path} not found"}
    selects = _selector(query.get("labelSelector", [""])[0])
    items = [
        {key: value for key, value in one.items() if key not in ("apiVersion", "kind")}
        for key, one in store.objects.items()
        if key.rsplit("/", 2)[1] == plural
        and (key.startswith(f"{path}/") or "/namespaces/" not in path)
        and selects(one["metadata"].get("labels", {}))
    ]
    return 200, {"apiVersion": lists[plural], "items": items}


def _selector(text: str) -> Callable[[dict[str, str]], bool]:
    """Read `a=b` and `a in (b,c)`, which is what the operator asks by."""
    sets = {
        key: set(names.split(",")) for key, names in re.findall(r"([^, ]+) in \(([^)]*)\)", text)
    }
    rest = re.sub(r"[^, ]+ in \([^)]*\)", "", text)
    sets |= {key: {value} for key, value in re.findall(r"([^,=]+)=([^,]*)", rest)}
    return lambda labels: all(labels.get(key) in wanted for key, wanted in sets.items())


_LISTS = {
    "llmservices": "serving.radixloom.dev/v1alpha1",
    "statefulsets": "apps/v1",
    "deployments": "apps/v1",
    "controllerrevisions": "apps/v1",
    "poddisruptionbudgets": "policy/v1",
    "networkpolicies": "networking.k8s.io/v1",
    "pods": "v1",
    "services": "v1",
    "serviceaccounts": "v1",
}


def _replace(store: Store, path: str, body: Manifest) -> tuple[int, Manifest]:
    """Take an update only of what was read last."""
    live = store.objects.get(path)
    if live is None:
        return 404, {"message": "not found"}
    if live["metadata"].get("resourceVersion") != body["metadata"].get("resourceVersion"):
        return 409, {"message": "the object has been modified", "reason": "Conflict"}
    body["metadata"]["resourceVersion"] = str(next(store.counter))
    return 200, _put(store, "PUT", path, body)


def _put(store: Store, method: str, path: str, manifest: Manifest) -> Manifest:
    manifest = copy.deepcopy(manifest)
    manifest["metadata"].setdefault("uid", f"uid-{next(store.counter)}")
    if store.objects.get(path) != manifest:
        store.objects[path] = manifest
        store.writes.append(f"{method} {path}")
    return manifest


def _patch_status(store: Store, path: str, body: Manifest) -> tuple[int, Manifest]:
    live = store.objects.get(path)
    if live is None:
        return 404, {"message": "not found"}
    if live["metadata"]["uid"] != body["metadata"]["uid"]:
        return 409, {"message": "uid in precondition differs"}
    if live.get("status") != body["status"]:
        live["status"] = body["status"]
        store.writes.append(f"PATCH {path}/status")
    return 200, live


def _scale(
    store: Store, path: str, query: dict[str, list[str]], body: Manifest
) -> tuple[int, Manifest]:
    """Take replicas for what was read last, and write down whose they are."""
    live = store.objects.get(path)
    if live is None:
        return 404, {"message": "not found"}
    metadata = live["metadata"]
    if body["metadata"]["resourceVersion"] != metadata.get("resourceVersion"):
        return 409, {"message": "the object has been modified", "reason": "Conflict"}
    metadata["resourceVersion"] = str(next(store.counter))
    metadata["generation"] += 1
    metadata["managedFields"] = [
        {
            "manager": query["fieldManager"][0],
            "operation": "Update",
            "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]
    live["spec"]["replicas"] = body["spec"]["replicas"]
    store.writes.append(f"PATCH {path}/scale")
    return 200, live


def _delete(store: Store, path: str, body: Manifest) -> tuple[int, Manifest]:
    live = store.objects.get(path)
    if live is None:
        return 404, {"message": "not found"}
    if live["metadata"]["uid"] != body["preconditions"]["uid"]:
        return 409, {
            "message": "Precondition failed: UID in precondition differs from the object's"
        }
    del store.objects[path]
    store.writes.append(f"DELETE {path}")
    return 200, {}


_ATOMIC = {"selector"}
"""Replaced whole, by the API's own schema."""


def _merge(live: Manifest, wanted: Manifest) -> Manifest:
    result = {**live}
    for key, value in wanted.items():
        inner = result.get(key)
        is_mapping = isinstance(value, dict) and isinstance(inner, dict) and key not in _ATOMIC
        result[key] = _merge(inner, value) if is_mapping else copy.deepcopy(value)
    return result
