"""An API server without nodes: etcd, kube-apiserver and the controller manager, for a while.

For what only the real API server can say, such as the rules of a CustomResourceDefinition, or how
an operator fares with a thousand objects. No pod ever runs; the machine's network stays as it is.
"""

import itertools
import random
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from hack.cluster import api, check, control_plane, pki, processes, versions
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout, Ports

_READY_SECONDS = 90
_PORTS = range(20_000, 30_000)
"""Below those that Linux gives to connections: one could be taken while certificates are made."""
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, verbs: [get, list, watch]}
  - {level: Metadata}
"""


@dataclass(frozen=True, slots=True)
class BareCluster:
    """A control plane that runs."""

    kubeconfig: Path
    """The administrator's."""
    audit_log: Path
    """Every write and who made it: one JSON object a line."""
    records: Path
    """Who its processes are."""

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time that each of its processes used so far, by name."""
        found = processes.recorded(self.records)
        return {name: processes.cpu_seconds(one.pid) for name, one in found.items()}


@contextmanager
def bare_cluster(*, with_controllers: bool = True) -> Generator[BareCluster, None, None]:
    """Yield a control plane that ends with the block; without controllers, no pod is even made.

    It takes ports that are free, and so has its place beside the local cluster.

    Raises:
        ClusterError: its programs are missing, or one of them ends.
    """
    default = Layout.default()
    if not (default.binaries / "kube-apiserver").exists():
        raise ClusterError("no kube-apiserver; `python -m hack.cluster binaries` brings it")
    with tempfile.TemporaryDirectory(prefix="radixloom-bare-") as folder:
        layout = Layout(Path(folder), _free_ports())
        (layout.root / versions.CACHE_NAME).symlink_to(default.root / versions.CACHE_NAME)
        for each in (layout.run, layout.logs, layout.processes):
            each.mkdir(parents=True)
        try:
            audit_log = layout.run / "audit.log"
            _start(layout, audit_log, with_controllers=with_controllers)
            yield BareCluster(layout.kubeconfig, audit_log, layout.processes)
        finally:
            processes.end(processes.recorded(layout.processes).values(), grace_seconds=1)


def _start(layout: Layout, audit_log: Path, *, with_controllers: bool) -> None:
    pki.create(layout, ())
    policy = layout.run / "audit-policy.yaml"
    policy.write_text(_AUDIT_POLICY)
    audit = [f"--audit-policy-file={policy}", f"--audit-log-path={audit_log}"]
    components = {
        "etcd": control_plane.etcd(layout),
        "kube-apiserver": [*control_plane.api_server(layout), *audit],
    }
    if with_controllers:
        components["kube-controller-manager"] = control_plane.controller_manager(layout)
    for name, argv in components.items():
        processes.start(name, argv, records=layout.processes, logs=layout.logs, env={"TZ": "UTC"})
        if name == "kube-apiserver":
            api.wait_until(
                lambda: api.is_ready(layout),
                "the API server is ready",
                timeout_seconds=_READY_SECONDS,
                check=lambda: _check(layout),
            )


def _free_ports() -> Ports:
    """Return ports that differ and that nobody listens on."""
    free = filter(check.is_free, random.sample(_PORTS, len(_PORTS)))
    return Ports(*itertools.islice(free, len(fields(Ports))))


def _check(layout: Layout) -> None:
    for name, process in processes.recorded(layout.processes).items():
        if not processes.is_running(process):
            last = (layout.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
            raise ClusterError(f"{name} ended; the last of its log:\n" + "\n".join(last))
