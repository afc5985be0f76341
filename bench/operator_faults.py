"""An operator that is killed after every one of its writes, or whose API server goes wrong.

    python bench/operator_faults.py [--seeds 20]         (`make soak`)

etcd, kube-apiserver and controller manager are real; no kubelet: pods are told ready as soon as
they are there. The life of a service is lived once undisturbed, once with `kill -9` after every
write, and once for each seed through a proxy that injects errors, lost answers and dead watches.
After every step of it the API server must hold the same objects.
"""

import argparse
import functools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config

from bench.api_proxy import ApiProxy, Policy, Seeded, api_proxy, killing, nothing
from bench.forked_operator import ForkedOperator
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
)

Manifest = dict[str, Any]

NAME = "chat"
LEASES = "radixloom-system"
_LIMIT_SECONDS = 90.0
_LOOK_SECONDS = 0.2
_QUIET_SECONDS = 2.5
_MOST_WRITES = 60
"""Of one step; more would be an operator that gets nowhere."""
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

STEPS: tuple[Manifest, ...] = (
    {"replicas": 2},
    {"replicas": 2, "engine": {"image": "runtime:changed"}},
    {"replicas": 1, "engine": {"image": "runtime:changed"}},
)
"""Creation, a rollout, a scale down: what spec holds beside model and hardware."""


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
        for pod in admin.request("GET", "/api/v1/pods")["items"]:
            if pod["status"].get("phase") != "Running":
                _tell_ready(admin, pod["metadata"])


def _tell_ready(admin: Connection, pod: Manifest) -> None:
    path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/status"
    body = {"metadata": {"uid": pod["uid"]}, "status": _READY}
    try:
        admin.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    except ClusterError as error:
        if error.status not in (404, 409):  # it was replaced meanwhile
            raise


# --- lives


@dataclass(frozen=True, slots=True)
class Life:
    """How a service fared."""

    outcomes: tuple[Manifest, ...]
    """After each step."""
    disturbances: int


def undisturbed(cluster: BareCluster, admin: Connection, folder: Path) -> Life:
    """Live the life that others are compared with."""
    return _with_policy(cluster, admin, folder, "undisturbed", nothing)


def with_faults(cluster: BareCluster, admin: Connection, folder: Path, seed: int) -> Life:
    """Live it with an API server that goes wrong by `seed`, at every step anew."""
    return _with_policy(cluster, admin, folder, f"seed-{seed}", Seeded(seed))


def _with_policy(
    cluster: BareCluster, admin: Connection, folder: Path, name: str, policy: Policy
) -> Life:
    stage = Stage(admin, name)
    make_namespace(admin, name)
    outcomes: list[Manifest] = []
    with api_proxy(cluster.kubeconfig) as proxy, ForkedOperator(proxy, folder / f"{name}.log"):
        proxy.policy = policy
        for step in STEPS:
            stage.apply(step)
            wait(f"{name}: {step} is done", lambda: is_done(stage, proxy))
            outcomes.append(stage.outcome())
    injected = policy.injected if isinstance(policy, Seeded) else []
    _end(stage)
    return Life(tuple(outcomes), len(injected))


def killed_after_every_write(cluster: BareCluster, admin: Connection, folder: Path) -> Life:
    """Live it with operators of which each is killed after its first write."""
    name = "killed"
    stage = Stage(admin, name)
    make_namespace(admin, name)
    outcomes: list[Manifest] = []
    kills = 0
    with api_proxy(cluster.kubeconfig) as proxy:
        for step in STEPS:
            stage.apply(step)
            kills += _one_write_each(stage, proxy, folder / f"{name}.log")
            outcomes.append(stage.outcome())
    _end(stage)
    return Life(tuple(outcomes), kills)


def _one_write_each(stage: Stage, proxy: ApiProxy, log: Path) -> int:
    """Start operators until one finds nothing to write; return how many were killed."""
    for kills in range(_MOST_WRITES):
        with ForkedOperator(proxy, log) as operator:
            proxy.policy = killing(functools.partial(operator.send, signal.SIGKILL))
            started = time.monotonic()
            wait(
                "the operator is killed, or has nothing to do",
                lambda operator=operator, started=started: (
                    not operator.is_alive
                    or (time.monotonic() - started > _QUIET_SECONDS and is_done(stage, proxy))
                ),
            )
            if operator.is_alive:
                return kills
    raise SystemExit(f"more than {_MOST_WRITES} writes: {proxy.writes[-5:]}")


def stopped_and_woken(cluster: BareCluster, admin: Connection, folder: Path) -> list[str]:
    """Stop the leader in the middle of a change; return what it wrote once another led."""
    stage = Stage(admin, "stopped")
    make_namespace(admin, stage.namespace)
    with (
        api_proxy(cluster.kubeconfig) as first,
        api_proxy(cluster.kubeconfig) as second,
        ForkedOperator(first, folder / "first.log", lease_namespace=LEASES) as old,
    ):
        stage.apply(STEPS[0])
        wait("the first has begun", lambda: bool(first.writes))
        old.send(signal.SIGSTOP)
        with ForkedOperator(second, folder / "second.log", lease_namespace=LEASES):
            wait("the second has done it", lambda: bool(second.writes) and stage.is_settled())
            before = len(first.writes)
            old.send(signal.SIGCONT)
            stage.apply(STEPS[1])
            wait("the second goes on", lambda: is_done(stage, second))
        late = [what for _, what in first.writes[before:]]
    _end(stage)
    return late


def is_done(stage: Stage, proxy: ApiProxy) -> bool:
    """Tell whether the service is as it should be and nothing more is written."""
    return stage.is_settled() and proxy.quiet_seconds() > _QUIET_SECONDS


def _end(stage: Stage) -> None:
    """Delete the service while no operator runs; the garbage collector takes the rest."""
    stage.delete()
    wait("nothing is left behind", lambda: not stage.children())


def differences(one: Life, other: Life) -> list[str]:
    """Say in what two lives ended differently, step by step."""
    found: list[str] = []
    for number, (ours, theirs) in enumerate(zip(one.outcomes, other.outcomes, strict=True)):
        found += [
            f"step {number}: {key}: {ours.get(key)} and {theirs.get(key)}"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]
    return found


def wait(what: str, look: Callable[[], bool]) -> None:
    """Wait until `look` says yes, bounded."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"not after {_LIMIT_SECONDS:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)


def main() -> None:
    """Live many lives, print a table, and fail where one ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    with world() as (cluster, admin):
        folder = cluster.kubeconfig.parent
        expected = undisturbed(cluster, admin, folder)
        life = killed_after_every_write(cluster, admin, folder)
        _report("kill -9 after every write", life, expected)
        seeds: Iterable[int] = range(options.seeds)
        counts: Counter[str] = Counter()
        for seed in seeds:
            life = with_faults(cluster, admin, folder, seed)
            counts["faults"] += life.disturbances
            _report(f"seed {seed}", life, expected)
        late = stopped_and_woken(cluster, admin, folder)
        print(f"| SIGSTOP, another leads, SIGCONT | {len(late)} late writes |")
        if late:
            raise SystemExit(f"one that leads no more writes nothing, found {late[:3]}")


def _report(what: str, life: Life, expected: Life) -> None:
    found = differences(life, expected)
    print(f"| {what} | {life.disturbances} | {found or 'the same end'} |", flush=True)
    if found:
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
