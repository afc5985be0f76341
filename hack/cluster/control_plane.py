"""Command lines of etcd and the control plane; pure.

Leader election and durability are off: there is one of each, and idle work costs a small
machine dearly.
"""

from hack.cluster.layout import (
    API_ADDRESS,
    NODE_CIDR,
    POD_CIDR,
    SERVICE_CIDR,
    Layout,
)
from hack.cluster.shell import Argument


def etcd(layout: Layout) -> list[Argument]:
    """Return etcd's command line."""
    pki, url = layout.pki, _etcd_url(layout)
    peer_url = f"http://127.0.0.1:{layout.ports.etcd_peer}"
    return [
        layout.binaries / "etcd",
        "--name=radixloom",
        f"--data-dir={layout.run}/etcd",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=radixloom={peer_url}",
        f"--cert-file={pki}/etcd.crt",
        f"--key-file={pki}/etcd.key",
        f"--trusted-ca-file={pki}/etcd-ca.crt",
        "--client-cert-auth",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _etcd_url(layout: Layout) -> str:
    return f"https://127.0.0.1:{layout.ports.etcd}"


def api_server(layout: Layout) -> list[Argument]:
    """Return the API server's command line."""
    pki = layout.pki
    return [
        layout.binaries / "kube-apiserver",
        f"--etcd-servers={_etcd_url(layout)}",
        f"--etcd-cafile={pki}/etcd-ca.crt",
        f"--etcd-certfile={pki}/apiserver-etcd.crt",
        f"--etcd-keyfile={pki}/apiserver-etcd.key",
        # Both 127.0.0.1 for people and API_ADDRESS for pods; every request is authenticated.
        "--bind-address=0.0.0.0",
        f"--secure-port={layout.ports.api}",
        f"--advertise-address={API_ADDRESS}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager(layout: Layout) -> list[Argument]:
    """Return the controller manager's command line."""
    pki = layout.pki
    return [
        layout.binaries / "kube-controller-manager",
        *_client(layout, "controller-manager"),
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        f"--secure-port={layout.ports.controllers}",
        f"--cluster-cidr={POD_CIDR}",
        "--allocate-node-cidrs=false",
        f"--flex-volume-plugin-dir={layout.run}/volume-plugins",
    ]


def scheduler(layout: Layout) -> list[Argument]:
    """Return the scheduler's command line."""
    return [layout.binaries / "kube-scheduler", *_client(layout, "scheduler")]


def _client(layout: Layout, name: str) -> list[Argument]:
    kubeconfig = layout.pki / f"{name}.kubeconfig"
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    ]


def proxy(layout: Layout) -> list[Argument]:
    """Return kube-proxy's command line: one serves all nodes, they share the machine's network."""
    return [
        layout.binaries / "kube-proxy",
        f"--kubeconfig={layout.pki}/proxy.kubeconfig",
        f"--hostname-override={layout.node(0).name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={POD_CIDR}",
        # The connection table is the machine's; leave its size alone.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        # NodePorts on the nodes' addresses, not on those the machine shows to others.
        f"--nodeport-addresses={NODE_CIDR}",
        "--iptables-localhost-nodeports=false",
        "--metrics-bind-address=127.0.0.1",
        "--healthz-bind-address=127.0.0.1",
        "--oom-score-adj=0",
        "--profiling=false",
    ]
