"""kubectl and helm against one cluster, named by its kubeconfig."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout
from hack.cluster.shell import Argument, run

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """A cluster and the two programs that talk to it."""

    kubeconfig: Path
    kubectl_program: Path
    helm_program: Path

    @classmethod
    def local(cls) -> "Kubernetes":
        """Return the cluster that `hack.cluster up` started."""
        return cls.at(Layout.default().kubeconfig)

    @classmethod
    def at(cls, kubeconfig: Path) -> "Kubernetes":
        """Return the cluster of `kubeconfig`, with the programs that `hack.cluster` brought.

        Raises:
            ClusterError: there is no kubectl or helm.
        """
        return cls(kubeconfig, _program("kubectl"), _program("helm"))

    def kubectl(
        self,
        *argv: Argument,
        stdin: str | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> str:
        """Run kubectl and return what it prints.

        Raises:
            ClusterError: it fails; the message holds what it said.
        """
        command = [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *argv]
        return run(command, stdin=stdin, timeout_seconds=timeout_seconds)

    def helm(self, *argv: Argument, timeout_seconds: float = 600) -> str:
        """Run helm and return what it prints.

        Raises:
            ClusterError: it fails; the message holds what it said.
        """
        command = [self.helm_program, f"--kubeconfig={self.kubeconfig}", *argv]
        return run(command, timeout_seconds=timeout_seconds)

    def get(self, *argv: Argument) -> Any:
        """Return `kubectl get ... -o json`, parsed; None if the object is not there.

        Raises:
            ClusterError: the API server does not answer, or refuses.
        """
        answer = self.kubectl("get", "--ignore-not-found", "--output=json", *argv)
        return json.loads(answer) if answer.strip() else None

    def apply(self, *manifests: dict[str, Any], namespace: str = "default") -> None:
        """Apply manifests.

        Raises:
            ClusterError: the API server refuses one.
        """
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=document)

    def api_answers(self) -> bool:
        """Say whether the API server is there."""
        try:
            return self.kubectl("get", "--raw=/readyz", timeout_seconds=5).strip() == "ok"
        except ClusterError:
            return False


def _program(name: str) -> Path:
    ours = Layout.default().binaries / name
    found = ours if ours.exists() else shutil.which(name)
    if found is None:
        raise ClusterError(f"{name} is missing; `python -m hack.cluster binaries` brings it")
    return Path(found)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time until which one waits."""

    seconds: float
    started: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(seconds, time.monotonic())

    def elapsed(self) -> float:
        """Return the seconds waited so far."""
        return time.monotonic() - self.started

    def passed(self) -> bool:
        """Say whether waiting is over."""
        return self.elapsed() > self.seconds


def foreign_kubeconfig() -> Path | None:
    """Return the kubeconfig that the user names in KUBECONFIG, unless it is the local cluster's."""
    named = os.environ.get("KUBECONFIG")
    path = Path(named).expanduser() if named else None
    return None if path == Layout.default().kubeconfig else path
