"""Configuration of one node: containerd, the pods' network and the kubelet; pure."""

import json
from pathlib import Path

from hack.cluster import versions
from hack.cluster.layout import DNS_ADDRESS, NODE_LABELS, Layout, Node
from hack.cluster.shell import Argument

MAX_PODS = 100


def containerd_config(layout: Layout, node: Node) -> str:
    """Write containerd's TOML: nothing of it outside the node's folder."""
    root, cni = node.root, layout.binaries / "cni"
    return f"""\
version = 3
root = "{root}/containerd/root"
state = "{root}/containerd/state"
temp = "{root}/containerd/temp"
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.nri.v1.nri",
]

[grpc]
  address = "{node.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  stats_collect_period = 60
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{versions.PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE a lower score is refused and no container starts.
  restrict_oom_score_adj = true
  # Network namespaces below the node's folder, where `down` finds them.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{layout.binaries}/runc"
        Root = "{root}/runc"
        SystemdCgroup = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{root}/cni/conf"
    use_internal_loopback = true
"""


def cni_config(node: Node) -> str:
    """Write the CNI network list: a bridge, addresses from the node's subnet, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": node.bridge,
        "isGateway": True,
        "isDefaultGateway": True,
        # `network` masquerades what leaves the cluster; between nodes pods keep their address.
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.pod_subnet}]],
            "dataDir": f"{node.root}/cni/addresses",
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    network = {"cniVersion": "1.0.0", "name": node.network, "plugins": [bridge, portmap]}
    return json.dumps(network, indent=2) + "\n"


def kubelet_config(layout: Layout, node: Node, resolv_conf: str) -> str:
    """Write the KubeletConfiguration; JSON is YAML.

    `resolv_conf` is what pods with the machine's DNS see.
    """
    pki = layout.pki
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": node.kubelet_port,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": node.kubelet_health_port,
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.name}.key",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxPods": MAX_PODS,
        "serializeImagePulls": False,
        # Images come by `load` and cannot be pulled again: never collect them.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "volumePluginDir": f"{node.root}/volume-plugins",
        "podLogsDir": f"{node.root}/pod-logs",
        "logging": {"verbosity": 1},
    }
    return json.dumps(document, indent=2) + "\n"


def containerd(layout: Layout, node: Node) -> list[Argument]:
    """Return containerd's command line."""
    return [
        layout.binaries / "containerd",
        *("--config", node.root / "containerd.toml"),
        *("--log-level", "warn"),
    ]


def kubelet(layout: Layout, node: Node) -> list[Argument]:
    """Return the kubelet's command line.

    GKE also taints TPU nodes (google.com/tpu=present:NoSchedule). Here the same nodes carry
    CoreDNS, the operator and every other plain pod, so they stay untainted.
    """
    labels = ",".join(f"{key}={value}" for key, value in NODE_LABELS.items())
    return [
        layout.binaries / "kubelet",
        f"--config={node.root}/kubelet.yaml",
        f"--kubeconfig={layout.pki}/{node.name}.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={labels}",
        f"--root-dir={node.kubelet_root}",
        f"--cert-dir={node.kubelet_root}/pki",
        "--housekeeping-interval=30s",
    ]


def write_config(layout: Layout, node: Node, resolv_conf: str) -> None:
    """Write the node's configuration files into its folder."""
    conf = node.root / "cni" / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "10-radixloom.conflist").write_text(cni_config(node))
    (node.root / "containerd.toml").write_text(containerd_config(layout, node))
    (node.root / "kubelet.yaml").write_text(kubelet_config(layout, node, resolv_conf))


def upstream_resolv_conf(candidates: tuple[Path, ...]) -> str:
    """Pick the first resolver file whose servers a pod can reach, or "" if there is none.

    A local stub such as 127.0.0.53 answers the machine alone, and would make CoreDNS ask
    itself for ever.
    """
    for candidate in candidates:
        if candidate.exists():
            words = [line.split() for line in candidate.read_text().splitlines()]
            servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
            if servers and not any(s.startswith("127.") or s == "::1" for s in servers):
                return str(candidate)
    return ""
