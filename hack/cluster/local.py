"""The local provider: every component a plain process of this machine.

etcd ← kube-apiserver ← controller-manager, scheduler, kube-proxy
             ↑
tpu-node-0: kubelet → containerd → runc → pods on bridge radixloom0
tpu-node-1: kubelet → containerd → runc → pods on bridge radixloom1
"""

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hack.cluster import (
    api,
    cgroups,
    cleanup,
    control_plane,
    network,
    node,
    pki,
    processes,
    versions,
)
from hack.cluster import load as loading
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import DEFAULT_NODES, DNS_ADDRESS, Layout, Node
from hack.cluster.shell import Argument

_COREDNS = Path(__file__).with_name("coredns.yaml")
_RESOLV_CONFS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def up(layout: Layout, num_nodes: int | None) -> None:
    """Bring the cluster to Ready, or say that it is; `num_nodes` None takes what runs.

    Raises:
        ClusterError: a component ends or does not become ready.
    """
    if layout.run.exists():
        dead = stopped_components(layout)
        if layout.state.exists() and not dead:
            _confirm(layout, num_nodes)
            return
        reason = f"stopped: {', '.join(dead)}" if dead else "it never came up"
        say(f"an earlier cluster is not whole ({reason}); starting afresh")
        down(layout)
    leftovers = cleanup.sweep(layout)
    if leftovers:
        raise ClusterError(f"left by an earlier cluster: {', '.join(leftovers)}")
    _start(layout, layout.nodes(num_nodes or DEFAULT_NODES))


def down(layout: Layout) -> None:
    """Stop everything and remove what it left.

    Raises:
        ClusterError: something stays.
    """
    if not layout.run.exists() and processes.foreign_kubelets(layout.root):
        return  # nothing of ours, and rules that look like ours are somebody else's
    say("stopping the cluster")
    leftovers = cleanup.sweep(layout)
    if leftovers:
        raise ClusterError(f"could not remove: {', '.join(leftovers)}")


def stopped_components(layout: Layout) -> list[str]:
    """Name the components that were started and no longer run."""
    started = processes.recorded(layout.processes)
    return [name for name, process in started.items() if not processes.is_running(process)]


def running_nodes(layout: Layout) -> int:
    """Return how many nodes the running cluster has."""
    return int(json.loads(layout.state.read_text())["nodes"])


def _confirm(layout: Layout, num_nodes: int | None) -> None:
    """Check the health of a cluster whose processes all run."""
    present = running_nodes(layout)
    if num_nodes not in {None, present}:
        raise ClusterError(f"the cluster runs with {present} nodes, not {num_nodes}; `down` first")
    _wait_ready(layout, layout.nodes(present))
    say(f"already up: {present} nodes Ready")


def _start(layout: Layout, nodes: tuple[Node, ...]) -> None:
    for folder in (layout.run, layout.logs, layout.processes, *(n.root for n in nodes)):
        folder.mkdir(parents=True, exist_ok=True)
    resolv_conf = node.upstream_resolv_conf(_RESOLV_CONFS)
    say("preparing addresses, cgroups and certificates")
    network.prepare(layout, nodes)
    for each in nodes:
        cgroups.create(each.cgroup)
        node.write_config(layout, each, resolv_conf or os.devnull)
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        imports = [pool.submit(_start_containerd, layout, each) for each in nodes]
        pki.create(layout, nodes)
        _start_control_plane(layout)
        _start_nodes(layout, nodes, imports)
    forward = f"forward . {_RESOLV_CONFS[0]}" if resolv_conf else ""
    replacements = {
        "FORWARD": forward,
        "COREDNS_IMAGE": versions.COREDNS_IMAGE,
        "DNS_ADDRESS": DNS_ADDRESS,
    }
    api.apply_coredns(layout, _COREDNS, replacements)
    _wait_ready(layout, nodes)
    layout.state.write_text(json.dumps({"provider": "local", "nodes": len(nodes)}))
    say(f"up: {len(nodes)} nodes Ready, DNS answers")


def _start_containerd(layout: Layout, each: Node) -> None:
    _daemon(layout, f"containerd-{each.index}", node.containerd(layout, each))
    api.wait_until(
        lambda: loading.answers(layout, each),
        f"containerd of {each.name} answers",
        timeout_seconds=30,
        check=lambda: _check_running(layout),
    )
    for archive in sorted(layout.images.glob("*.tar")):
        loading.load_into(layout, each, archive)


def _start_control_plane(layout: Layout) -> None:
    say("starting etcd and kube-apiserver")
    _daemon(layout, "etcd", control_plane.etcd(layout))
    _daemon(layout, "kube-apiserver", control_plane.api_server(layout))
    api.wait_until(
        lambda: api.is_ready(layout),
        "the API server is ready",
        timeout_seconds=90,
        check=lambda: _check_running(layout),
    )
    say("starting controller-manager, scheduler and proxy")
    _daemon(layout, "kube-controller-manager", control_plane.controller_manager(layout))
    _daemon(layout, "kube-scheduler", control_plane.scheduler(layout))
    _daemon(layout, "kube-proxy", control_plane.proxy(layout))


def _start_nodes(layout: Layout, nodes: tuple[Node, ...], imports: list[Future[None]]) -> None:
    say(f"starting {len(nodes)} kubelets")
    for each, imported in zip(nodes, imports, strict=True):
        imported.result()
        _daemon(layout, f"kubelet-{each.index}", node.kubelet(layout, each))
    names = {each.name for each in nodes}
    api.wait_until(
        lambda: names <= api.nodes_ready(layout).keys(),
        "all nodes are registered",
        timeout_seconds=60,
        check=lambda: _check_running(layout),
    )
    for each in nodes:
        api.give_tpus(layout, each.name)


def _wait_ready(layout: Layout, nodes: tuple[Node, ...]) -> None:
    names = {each.name for each in nodes}

    def ready() -> bool:
        states = api.nodes_ready(layout)
        return all(states.get(name) for name in names) and api.coredns_ready(layout)

    what = "all nodes are Ready and DNS answers (see `status` and `logs`)"
    api.wait_until(ready, what, timeout_seconds=90, check=lambda: _check_running(layout))


def _daemon(layout: Layout, name: str, argv: list[Argument]) -> None:
    # Our programs first: containerd looks for its shim there, the kubelet for iptables after.
    path = f"{layout.binaries}:{_SYSTEM_PATH}"
    processes.start(
        name, argv, records=layout.processes, logs=layout.logs, env={"PATH": path, "TZ": "UTC"}
    )


def _check_running(layout: Layout) -> None:
    dead = stopped_components(layout)
    if dead:
        last = log_tail(layout, dead[0], num_lines=15)
        raise ClusterError(f"{dead[0]} ended; the last of its log:\n{last}")


def log_tail(layout: Layout, component: str, *, num_lines: int) -> str:
    """Return the last lines of a component's log.

    Raises:
        ClusterError: there is no such component.
    """
    log = layout.logs / f"{component}.log"
    if not log.exists():
        found = [
            *layout.logs.glob("*.log"),
            *layout.logs.glob("*/*.log"),
        ]  # kind: one folder a node
        names = (str(path.relative_to(layout.logs).with_suffix("")) for path in found)
        known = ", ".join(sorted(names))
        raise ClusterError(f"no log of {component!r}; there are: {known or 'none'}")
    return "\n".join(log.read_text(errors="replace").splitlines()[-num_lines:])
