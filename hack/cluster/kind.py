"""The kind provider: the same cluster inside containers of a Docker engine.

radixloom-control-plane   etcd, kube-apiserver, controller-manager, scheduler; takes no other pods
radixloom-worker          kubelet → containerd → pods; labelled and given TPUs like local nodes
radixloom-worker2         the same

Like the local provider, it works from what the engine shows and not from what an earlier `up`
remembers: a cluster that is not whole is made anew, and `down` finds one that never came up.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from hack.cluster import api, images, versions
from hack.cluster.console import long_step, say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import DEFAULT_NODES, NODE_LABELS, Layout
from hack.cluster.shell import Argument, run, succeeds

_NAME = "radixloom"
_CONTROL_PLANE = f"{_NAME}-control-plane"
_NETWORK = "kind"
_PULL_TIMEOUT_SECONDS = 600
_CREATE_TIMEOUT_SECONDS = 900
_READY_SECONDS = 120.0


def obstacle() -> str:
    """Say why kind cannot run here, having tried to pull its node image; "" where it can."""
    if not succeeds(["docker", "info"]):
        return "no Docker engine answers `docker info`"
    image = versions.KIND_NODE_IMAGE
    if succeeds(["docker", "image", "inspect", image]):
        return ""
    try:
        with long_step(lambda: f"pulling {image}"):
            run(["docker", "pull", image], timeout_seconds=_PULL_TIMEOUT_SECONDS)
    except ClusterError as error:
        return f"the Docker engine has no {image} and cannot pull it ({error})"
    return ""


def is_available() -> bool:
    """Say whether kind can run; where an engine is there in vain, say why not."""
    found = obstacle()
    if found and succeeds(["docker", "info"]):
        say(f"not using kind: {found}")
    return not found


def require() -> None:
    """Stop where kind cannot run.

    Raises:
        ClusterError: with what is missing and what to do.
    """
    found = obstacle()
    if found:
        raise ClusterError(
            f"{found}; start Docker and give it the image (`docker pull`, or `docker load` of a"
            " saved one), or use `--provider local`",
            exit_code=2,
        )


def config(num_nodes: int, shared: Path) -> str:
    """Write kind's cluster configuration; JSON is YAML.

    `shared` is mounted into every node at its own path, so that hostPath volumes work.
    """
    mount = {"hostPath": str(shared), "containerPath": str(shared)}
    worker = {"role": "worker", "labels": NODE_LABELS, "extraMounts": [mount]}
    kubelet = {"kind": "KubeletConfiguration", "failCgroupV1": False}
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"},
        # As the local nodes have it: from 1.35 on a kubelet refuses cgroup v1 unless told, and an
        # engine without CAP_SYS_RESOURCE may start no container with a lower OOM score.
        "kubeadmConfigPatches": [json.dumps(kubelet)],
        "containerdConfigPatches": [
            '[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'
        ],
        "nodes": [{"role": "control-plane", "extraMounts": [mount]}, *([worker] * num_nodes)],
    }
    return json.dumps(document, indent=2) + "\n"


def up(layout: Layout, num_nodes: int | None, shared: Path) -> None:
    """Bring the cluster to Ready, or say that it is; `num_nodes` None takes what runs.

    Raises:
        ClusterError: kind fails, or a node does not become ready.
    """
    if exists(layout):
        if _is_whole(layout, num_nodes):
            return
        say("an earlier cluster is not whole; starting afresh")
        down(layout)
    shared.mkdir(parents=True, exist_ok=True)
    layout.run.mkdir(parents=True, exist_ok=True)
    num_nodes = num_nodes or DEFAULT_NODES
    brings_network = not succeeds(["docker", "network", "inspect", _NETWORK])
    _started(layout).write_text(json.dumps({"brings_network": brings_network}))
    _create(layout, config(num_nodes, shared), f"creating a kind cluster with {num_nodes} workers")
    workers = _workers(layout)
    for name in workers:
        api.give_tpus(layout, name)
    _wait_ready(layout, workers)
    layout.state.write_text(json.dumps({"provider": "kind", "nodes": num_nodes}))
    say(f"up: {num_nodes} workers Ready, DNS answers")


def _is_whole(layout: Layout, num_nodes: int | None) -> bool:
    """Check a cluster that is there, and write its kubeconfig anew.

    Raises:
        ClusterError: it is whole and has another number of workers than `num_nodes`.
    """
    if not layout.state.exists():
        return False  # `up` ended before the cluster was ready
    try:
        run([*_kind(layout), "export", "kubeconfig", *_cluster(layout)])
        workers = _workers(layout)
        _wait_ready(layout, workers)
    except ClusterError as error:
        say(str(error))
        return False
    if num_nodes not in {None, len(workers)}:
        present = len(workers)
        raise ClusterError(f"the cluster runs with {present} nodes, not {num_nodes}; `down` first")
    say(f"already up: {len(workers)} workers Ready")
    return True


def _create(layout: Layout, document: str, step: str) -> None:
    """Let kind make the nodes; of a failure keep the nodes' logs and nothing else."""
    options = ("--image", versions.KIND_NODE_IMAGE, "--retain", "--wait", "180s", "--config", "-")
    command = [*_kind(layout), "create", "cluster", *options, *_cluster(layout)]
    try:
        with long_step(lambda: step):
            run(command, stdin=document, timeout_seconds=_CREATE_TIMEOUT_SECONDS)
    except ClusterError as error:
        with suppress(ClusterError):  # there may be no nodes yet
            export_logs(layout)
        run([*_kind(layout), "delete", "cluster", *_cluster(layout)])
        raise ClusterError(f"{error}{_where_logs_are(layout)}") from error


def _where_logs_are(layout: Layout) -> str:
    if not any(layout.logs.iterdir()):
        return ""  # it failed before there was a node
    command = f"python -m hack.cluster logs {_CONTROL_PLANE}/kubelet"
    return f"\nThe nodes' logs are in {layout.logs}; most is said by `{command}`"


def _wait_ready(layout: Layout, workers: list[str]) -> None:
    names = {_CONTROL_PLANE, *workers}

    def ready() -> bool:
        states = api.nodes_ready(layout)
        return all(states.get(name) for name in names) and api.coredns_ready(layout)

    with long_step(lambda: "waiting for the nodes and DNS"):
        api.wait_until(ready, "all nodes are Ready and DNS answers", timeout_seconds=_READY_SECONDS)


def exists(layout: Layout) -> bool:
    """Say whether our kind cluster is there, whole or not."""
    return _NAME in run([*_kind(layout), "get", "clusters"]).split()


def is_left_over(layout: Layout) -> bool:
    """Say whether an `up` that failed or was cut off left something behind."""
    if _started(layout).exists():
        return True
    program = layout.binaries / "kind"
    return program.exists() and succeeds(["docker", "info"]) and exists(layout)


def down(layout: Layout) -> None:
    """Delete the cluster, and kind's Docker network if `up` brought it."""
    with long_step(lambda: "deleting the kind cluster"):
        run([*_kind(layout), "delete", "cluster", *_cluster(layout)])
    started = _started(layout)
    if started.exists() and json.loads(started.read_text())["brings_network"]:
        succeeds(["docker", "network", "rm", _NETWORK])  # refused while another cluster uses it
    shutil.rmtree(layout.run, ignore_errors=True)


def export_logs(layout: Layout) -> None:
    """Fetch the logs of every node: `<node>/kubelet.log` and so on, below the logs' folder."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    run([*_kind(layout), "export", "logs", layout.logs, "--name", _NAME])


def load(layout: Layout, archives: list[Path]) -> None:
    """Import image tars into every worker that lacks them; kind itself would import again.

    Raises:
        ClusterError: a tar cannot be read, or a node refuses it.
    """
    for archive in archives:
        wanted = images.read(archive)
        names = ", ".join(image.name for image in wanted)
        present = {node: _images(node) for node in _workers(layout)}
        lacking = [
            node
            for node, held in present.items()
            if any(held.get(image.name) != image.config_digest for image in wanted)
        ]
        if not lacking:
            say(f"skipped {names}: the same image is on every node")
            continue
        step = f"loading {names} into {', '.join(lacking)}"
        options = ("--name", _NAME, "--nodes", ",".join(lacking))
        with long_step(lambda step=step: step):
            run([*_kind(layout), "load", "image-archive", archive, *options])


def _images(node: str) -> dict[str, str]:
    """Return the digest of the config behind each image's name on a node."""
    return listed_images(run(["docker", "exec", node, "crictl", "images", "--output", "json"]))


def listed_images(document: str) -> dict[str, str]:
    """Read what crictl lists.

    >>> listed_images('{"images": [{"id": "sha256:1", "repoTags": ["localhost/a:1"]}]}')
    {'localhost/a:1': 'sha256:1'}
    """
    listed = json.loads(document)["images"]
    return {name: str(image["id"]) for image in listed for name in image.get("repoTags") or ()}


def _started(layout: Layout) -> Path:
    """Lies in the run folder from before the first container on."""
    return layout.run / "kind.json"


def _workers(layout: Layout) -> list[str]:
    """List the nodes that pods run on; the control plane is tainted."""
    nodes = run([*_kind(layout), "get", "nodes", "--name", _NAME]).split()
    return sorted(name for name in nodes if name != _CONTROL_PLANE)


def _cluster(layout: Layout) -> list[Argument]:
    return ["--name", _NAME, "--kubeconfig", layout.kubeconfig]


def _kind(layout: Layout) -> list[Argument]:
    return [layout.binaries / "kind"]
