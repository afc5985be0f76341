"""The kind provider: the same cluster inside containers of a Docker engine."""

import json
from pathlib import Path

from hack.cluster import api, versions
from hack.cluster.console import long_step, say
from hack.cluster.layout import NODE_LABELS, Layout
from hack.cluster.shell import run, succeeds

_NAME = "radixloom"
_PULL_TIMEOUT_SECONDS = 600


def is_available() -> bool:
    """Say whether a Docker engine answers and has the node image, or can pull it."""
    if not succeeds(["docker", "info"]):
        return False
    image = versions.KIND_NODE_IMAGE
    if succeeds(["docker", "image", "inspect", image]):
        return True
    with long_step(lambda: f"pulling {image}"):
        return succeeds(["docker", "pull", image], timeout_seconds=_PULL_TIMEOUT_SECONDS)


def config(num_nodes: int, shared: Path) -> str:
    """Write kind's cluster configuration; JSON is YAML.

    `shared` is mounted into every node at its own path, so that hostPath volumes work.
    """
    mount = {"hostPath": str(shared), "containerPath": str(shared)}
    worker = {"role": "worker", "labels": NODE_LABELS, "extraMounts": [mount]}
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"},
        "nodes": [{"role": "control-plane", "extraMounts": [mount]}, *([worker] * num_nodes)],
    }
    return json.dumps(document, indent=2) + "\n"


def up(layout: Layout, num_nodes: int, shared: Path) -> None:
    """Create the cluster unless it is there, and give its workers TPUs."""
    shared.mkdir(parents=True, exist_ok=True)
    layout.run.mkdir(parents=True, exist_ok=True)
    kubeconfig = ("--kubeconfig", layout.kubeconfig)
    if exists(layout):
        say("already there; writing its kubeconfig")
        run([*_kind(layout), "export", "kubeconfig", "--name", _NAME, *kubeconfig])
    else:
        options = ("--name", _NAME, "--image", versions.KIND_NODE_IMAGE, "--wait", "180s")
        with long_step(lambda: f"creating a kind cluster with {num_nodes} workers"):
            run(
                [*_kind(layout), "create", "cluster", *options, *kubeconfig, "--config", "-"],
                stdin=config(num_nodes, shared),
            )
    layout.state.write_text(json.dumps({"provider": "kind", "nodes": num_nodes}))
    for name in api.nodes_ready(layout):
        if "control-plane" not in name:
            api.give_tpus(layout, name)
    say("up")


def exists(layout: Layout) -> bool:
    """Say whether our kind cluster is there."""
    return _NAME in run([*_kind(layout), "get", "clusters"]).split()


def down(layout: Layout) -> None:
    """Delete the cluster."""
    run([*_kind(layout), "delete", "cluster", "--name", _NAME])


def load(layout: Layout, archives: list[Path]) -> None:
    """Import image tars into every node; kind itself skips what is there."""
    for archive in archives:
        with long_step(lambda path=archive: f"loading {path}"):
            run([*_kind(layout), "load", "image-archive", archive, "--name", _NAME])


def _kind(layout: Layout) -> list[Path]:
    return [layout.binaries / "kind"]
