"""Talk to the cluster's API server: is it ready, are its nodes, what does kubectl say."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hack.cluster.errors import ClusterError
from hack.cluster.layout import TPU_CHIPS_PER_HOST, Layout
from hack.cluster.shell import Argument, run

_PERIOD_SECONDS = 0.3


def kubectl(layout: Layout, *argv: Argument, stdin: str | None = None) -> str:
    """Run our kubectl against our cluster and return what it prints."""
    command = [layout.binaries / "kubectl", f"--kubeconfig={layout.kubeconfig}", *argv]
    return run(command, stdin=stdin, timeout_seconds=30)


def is_ready(layout: Layout) -> bool:
    """Say whether the API server reports itself ready."""
    try:
        return kubectl(layout, "get", "--raw=/readyz").strip() == "ok"
    except ClusterError:
        return False


def nodes_ready(layout: Layout) -> dict[str, bool]:
    """Return whether each registered node is Ready, by name; empty if nobody answers."""
    try:
        listed = json.loads(kubectl(layout, "get", "nodes", "--output=json"))
    except ClusterError:
        return {}
    return {node["metadata"]["name"]: node_is_ready(node) for node in listed["items"]}


def node_is_ready(node: Any) -> bool:
    """Read the Ready condition of a Node object."""
    conditions = node.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def give_tpus(layout: Layout, node_name: str) -> None:
    """Let the node offer TPU chips it does not have; the kubelet keeps foreign resources."""
    chips = str(TPU_CHIPS_PER_HOST)
    patch = [
        {"op": "add", "path": f"/status/{field}/google.com~1tpu", "value": chips}
        for field in ("capacity", "allocatable")
    ]
    options = ("--subresource=status", "--type=json", "--patch", json.dumps(patch))
    kubectl(layout, "patch", "node", node_name, *options)


def coredns_ready(layout: Layout) -> bool:
    """Say whether DNS answers for the cluster."""
    query = ("--namespace=kube-system", "--output=jsonpath={.status.readyReplicas}")
    try:
        return kubectl(layout, "get", "deployment", "coredns", *query).strip() not in {"", "0"}
    except ClusterError:
        return False


def apply_coredns(layout: Layout, manifest: Path, replacements: dict[str, str]) -> None:
    """Apply CoreDNS with each capitalised word of its manifest replaced."""
    text = manifest.read_text()
    for word, value in replacements.items():
        text = text.replace(word, value)
    kubectl(layout, "apply", "--filename=-", stdin=text)


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Poll `condition`; call `check` between, which may raise a better error.

    Raises:
        ClusterError: it stays false for `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not so after {timeout_seconds:.0f}s")
        time.sleep(_PERIOD_SECONDS)
