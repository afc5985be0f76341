"""What operator_scale.py runs: operators as processes, each a ServiceAccount, and a client."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from kubernetes import client, config

from hack.cluster.bare import BareCluster
from hack.cluster.layout import Layout
from hack.cluster.processes import cpu_seconds
from hack.cluster.shell import run
from radixloom_operator.api.schema import custom_resource_definition
from radixloom_operator.connection import Connection
from radixloom_operator.naming import API_VERSION, GROUP, KIND, PLURAL, VERSION

NAMESPACE = "scale"
LEASES = "radixloom-system"
CHART = Path(__file__).parents[1] / "charts" / "radixloom"
_SERVICES = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases/radixloom-operator"
_MERGE = "application/merge-patch+json"
_IMAGE = "runtime:changed"


@dataclass(frozen=True, slots=True)
class Write:
    """One write in the audit log."""

    seconds: float
    """When it was answered, since the epoch."""
    what: str


def writes_of(cluster: BareCluster, names: str) -> list[Write]:
    """List what the operators of these names (letters) wrote, but for the lease, oldest first."""
    users = {f"system:serviceaccount:{LEASES}:{name}" for name in names}
    found: list[Write] = []
    for line in cluster.audit_log.read_text().splitlines():
        if "serviceaccount:" + LEASES not in line:
            continue
        event: dict[str, Any] = json.loads(line)
        place = event.get("objectRef") or {}
        if event["user"]["username"] in users and place.get("resource") != "leases":
            time = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
            what = f"{event['verb']} {place.get('resource')}/{place.get('name')}"
            found.append(Write(time, what))
    return found


@dataclass(frozen=True, slots=True)
class Clients:
    """The administrator's connection, and what operators connect by."""

    cluster: BareCluster
    admin: Connection

    @classmethod
    def prepare(cls, cluster: BareCluster) -> "Clients":
        """Install the definition, and two accounts with the rights that the chart gives."""
        settings = client.Configuration()
        config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
        settings.connection_pool_maxsize = 16
        result = cls(cluster, Connection(client.ApiClient(settings)))
        for name in (NAMESPACE, LEASES):
            result.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        result.apply(custom_resource_definition())
        for manifest in _rights():
            result.apply(manifest)
        for name in "ab":
            result.kubectl("create", "serviceaccount", name, f"--namespace={LEASES}")
        return result

    def apply(self, manifest: dict[str, Any]) -> None:
        """`kubectl apply` one object."""
        self.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(manifest))

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator."""
        return run(
            [_program("kubectl"), f"--kubeconfig={self.cluster.kubeconfig}", *argv], stdin=stdin
        )

    def create_service(self, number: int) -> None:
        """Make one LLMService."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": _name(number)},
            "spec": {"model": {"uri": "hf://acme/tiny"}, "tpu": {"generation": "cpu"}},
        }
        self.admin.request("POST", _SERVICES, body=body)

    def change_services(self, numbers: Iterable[int]) -> None:
        """Give services another image."""
        body = {"spec": {"engine": {"image": _IMAGE}}}
        for number in numbers:
            path = f"{_SERVICES}/{_name(number)}"
            self.admin.request("PATCH", path, body=body, content_type=_MERGE)

    def num_told(self) -> int:
        """Count services whose status tells of a slice."""
        items = self.admin.request("GET", _SERVICES)["items"]
        return sum((one.get("status") or {}).get("replicas") == 1 for one in items)

    def num_changed(self) -> int:
        """Count slices that have the other image."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
        pods = (one["spec"]["template"]["spec"] for one in self.admin.request("GET", path)["items"])
        return sum(pod["containers"][0]["image"] == _IMAGE for pod in pods)

    def num_pods(self) -> int:
        """Count the pods that there are."""
        return len(self.admin.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"])

    def leader(self) -> str:
        """Return who holds the lease; empty for nobody."""
        lease = self.admin.get_or_none(_LEASE)
        return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""


class OperatorProcess:
    """One operator, as the chart would run it; ended with its block."""

    def __init__(self, clients: Clients, name: str) -> None:
        self.name = name
        folder = clients.cluster.kubeconfig.parent
        token = clients.kubectl("create", "token", name, f"--namespace={LEASES}").strip()
        document = json.loads(clients.cluster.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": token}
        self._kubeconfig = folder / f"operator-{name}.kubeconfig"
        self._kubeconfig.write_text(json.dumps(document))
        self._log = folder / f"operator-{name}.log"

    def __enter__(self) -> Self:
        environment = {
            "KUBECONFIG": str(self._kubeconfig),
            "RADIXLOOM_OPERATOR_LEASE_NAMESPACE": LEASES,
            "RADIXLOOM_OPERATOR_LIVENESS_PORT": "0",
        }
        program = [sys.executable, "-m", "radixloom_operator.cli", "run"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                program, env={**os.environ, **environment}, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            print(self._log.read_text()[-3000:], file=sys.stderr)
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(30)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def peak_rss_mb(self) -> float:
        """Return the most memory that it held so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time that it used so far."""
        return cpu_seconds(self._process.pid)


def _rights() -> list[dict[str, Any]]:
    """Return the chart's roles, bound to every account in the operators' namespace."""
    options = ("--namespace", LEASES, "--set", "fullnameOverride=radixloom-operator")
    rendered = run([_program("helm"), "template", "radixloom", CHART, *options])
    found = [one for one in yaml.safe_load_all(rendered) if "Role" in one["kind"]]
    for one in found:
        if "subjects" in one:
            group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io"}
            one["subjects"] = [{**group, "name": f"system:serviceaccounts:{LEASES}"}]
    return found


def _name(number: int) -> str:
    return f"service-{number:04}"


def _program(name: str) -> Path:
    return Layout.default().binaries / name
