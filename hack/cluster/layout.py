"""Names, addresses and paths of the cluster: one place, no behaviour.

machine's loopback   10.250.0.254 API server   10.250.0.1 node 0   10.250.0.2 node 1
bridges                                        10.244.0.0/24       10.244.1.0/24
Services             10.96.0.0/16, DNS at 10.96.0.10
"""

import os
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import versions

API_ADDRESS = "10.250.0.254"
NODE_CIDR = "10.250.0.0/24"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CGROUP = "radixloom"
BRIDGE_PREFIX = "radixloom"
NETWORK_PREFIX = "radixloom-"
DEFAULT_NODES = 2
MAX_NODES = 9

# As GKE labels the nodes of a v5e 2x4 slice: two hosts with four chips each.
TPU_CHIPS_PER_HOST = 4
NODE_LABELS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "2x4",
    "cloud.google.com/gke-nodepool": "tpu-pool-0",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the control plane listens; the defaults are the local cluster's."""

    api: int = 16443
    etcd: int = 12379
    etcd_peer: int = 12380
    controllers: int = 10257


def shared_folder() -> Path:
    """Return the folder that every node sees at the same path, for hostPath volumes."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radixloom"


@dataclass(frozen=True, slots=True)
class Node:
    """One kubelet with its own containerd, bridge and address."""

    index: int
    root: Path

    @property
    def name(self) -> str:
        """Kubernetes' name of the node."""
        return f"tpu-node-{self.index}"

    @property
    def address(self) -> str:
        """The node's IP, an alias on the machine's loopback."""
        return f"10.250.0.{self.index + 1}"

    @property
    def pod_subnet(self) -> str:
        """Where this node's pods live."""
        return f"10.244.{self.index}.0/24"

    @property
    def bridge(self) -> str:
        """The link that joins this node's pods."""
        return f"{BRIDGE_PREFIX}{self.index}"

    @property
    def network(self) -> str:
        """The CNI network's name."""
        return f"{NETWORK_PREFIX}{self.name}"

    @property
    def kubelet_port(self) -> int:
        """Where the API server reaches the kubelet."""
        return 10250 + self.index

    @property
    def kubelet_health_port(self) -> int:
        """The kubelet's own health, on 127.0.0.1."""
        return 10350 + self.index

    @property
    def cgroup(self) -> str:
        """The cgroup that holds every container of the node."""
        return f"{CGROUP}/{self.name}"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd answers."""
        return self.root / "containerd.sock"

    @property
    def kubelet_root(self) -> Path:
        """The kubelet's --root-dir."""
        return self.root / "kubelet"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies under the cluster's cache folder."""

    root: Path
    ports: Ports = Ports()

    @classmethod
    def default(cls) -> "Layout":
        """Return the layout under the user's cache folder.

        Resolved, because the kernel names programs and mounts by their real paths.
        """
        return cls((shared_folder() / "cluster").resolve())

    @property
    def binaries(self) -> Path:
        """Programs of this version, kubectl and helm among them."""
        return self.root / versions.CACHE_NAME / "bin"

    @property
    def images(self) -> Path:
        """Image tars the cluster itself needs."""
        return self.root / versions.CACHE_NAME / "images"

    @property
    def staging(self) -> Path:
        """Downloads and builds that are not yet complete."""
        return self.root / versions.CACHE_NAME / "staging"

    @property
    def lock(self) -> Path:
        """Held by a command that changes the cluster."""
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """All that one running cluster keeps; gone after `down`."""
        return self.root / "run"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.run / "kubeconfig"

    @property
    def state(self) -> Path:
        """Which provider runs with how many nodes."""
        return self.run / "state.json"

    @property
    def pki(self) -> Path:
        """Certificates, keys and the components' kubeconfigs."""
        return self.run / "pki"

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.run / "logs"

    @property
    def processes(self) -> Path:
        """One record for each process that was started."""
        return self.run / "processes"

    def node(self, index: int) -> Node:
        """Return the node of that index."""
        return Node(index, self.run / "nodes" / f"tpu-node-{index}")

    def nodes(self, count: int) -> tuple[Node, ...]:
        """Return the first `count` nodes."""
        return tuple(self.node(index) for index in range(count))
