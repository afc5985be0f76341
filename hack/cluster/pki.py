"""Certificates and kubeconfigs of one cluster, made by the openssl program.

ca ──────── apiserver, kubelets (serving)     controller-manager, scheduler, proxy, admin,
                                              nodes, apiserver-kubelet (client)
etcd-ca ─── etcd (serving)                    apiserver-etcd (client)
front-ca ── front-proxy (client)              sa.key signs service account tokens
"""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hack.cluster.layout import API_ADDRESS, API_SERVICE_ADDRESS, Layout, Node
from hack.cluster.shell import run

_DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
_SERVICE = "kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One leaf certificate: `names` are those it serves under, none for a client."""

    name: str
    authority: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()
    is_client: bool = True

    @property
    def subject(self) -> str:
        """The subject as openssl's -subj takes it."""
        organization = f"/O={self.organization}" if self.organization else ""
        return f"{organization}/CN={self.common_name}"

    def extensions(self) -> list[str]:
        """Return openssl's -addext values."""
        usages = ["serverAuth"] if self.names else []
        usages += ["clientAuth"] if self.is_client else []
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=digitalSignature,keyEncipherment",
            f"extendedKeyUsage={','.join(usages)}",
        ]
        if self.names:
            extensions.append(f"subjectAltName={','.join(map(_typed, self.names))}")
        return extensions


def _typed(name: str) -> str:
    is_address = all(part.isdigit() for part in name.split("."))
    return f"IP:{name}" if is_address else f"DNS:{name}"


def certificates(nodes: tuple[Node, ...]) -> tuple[Certificate, ...]:
    """List every leaf certificate of a cluster with `nodes`."""
    api_names = (
        *("kubernetes", "kubernetes.default", _SERVICE, f"{_SERVICE}.cluster.local"),
        *("localhost", "127.0.0.1", API_SERVICE_ADDRESS, API_ADDRESS),
    )
    local = ("localhost", "127.0.0.1")
    masters = "system:masters"
    return (
        Certificate("apiserver", "ca", "kube-apiserver", names=api_names, is_client=False),
        Certificate("apiserver-kubelet", "ca", "apiserver-kubelet", masters),
        Certificate("admin", "ca", "kubernetes-admin", masters),
        Certificate("controller-manager", "ca", "system:kube-controller-manager"),
        Certificate("scheduler", "ca", "system:kube-scheduler"),
        Certificate("proxy", "ca", "system:kube-proxy"),
        Certificate("etcd", "etcd-ca", "etcd", names=local),
        Certificate("apiserver-etcd", "etcd-ca", "apiserver-etcd"),
        Certificate("front-proxy", "front-ca", "front-proxy-client"),
        *(
            Certificate(
                node.name,
                "ca",
                f"system:node:{node.name}",
                "system:nodes",
                names=(node.name, node.address),
            )
            for node in nodes
        ),
    )


def create(layout: Layout, nodes: tuple[Node, ...]) -> None:
    """Write every key, certificate and kubeconfig of the cluster."""
    folder = layout.pki
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    leaves = certificates(nodes)
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(partial(_authority, folder), ("ca", "etcd-ca", "front-ca")))
        list(pool.map(partial(_leaf, folder), leaves))
    key = folder / "sa.key"
    run(["openssl", "genrsa", "-out", key, "2048"])
    run(["openssl", "rsa", "-in", key, "-pubout", "-out", folder / "sa.pub"])
    users = ("admin", "controller-manager", "scheduler", "proxy", *(n.name for n in nodes))
    for user in users:
        target = layout.kubeconfig if user == "admin" else folder / f"{user}.kubeconfig"
        content = render_kubeconfig(
            user,
            server=f"https://127.0.0.1:{layout.ports.api}",
            authority=(folder / "ca.crt").read_bytes(),
            certificate=(folder / f"{user}.crt").read_bytes(),
            key=(folder / f"{user}.key").read_bytes(),
        )
        target.touch(mode=0o600)
        target.write_text(content)


def _authority(folder: Path, name: str) -> None:
    _request(folder, name, f"/CN=radixloom-{name}", ["keyUsage=critical,keyCertSign,cRLSign"])


def _leaf(folder: Path, leaf: Certificate) -> None:
    signer = folder / leaf.authority
    signed_by = ["-CA", f"{signer}.crt", "-CAkey", f"{signer}.key"]
    _request(folder, leaf.name, leaf.subject, leaf.extensions(), signed_by)


def _request(
    folder: Path,
    name: str,
    subject: str,
    extensions: list[str],
    signed_by: list[str] | None = None,
) -> None:
    added = [word for extension in extensions for word in ("-addext", extension)]
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    request = ["openssl", "req", "-x509", *_KEY, "-days", _DAYS, "-subj", subject]
    run([*request, *added, *(signed_by or []), *files])


def render_kubeconfig(
    user: str, *, server: str, authority: bytes, certificate: bytes, key: bytes
) -> str:
    """Write a kubeconfig that holds its certificates, so that the file can be copied.

    JSON is YAML.
    """

    def encode(content: bytes) -> str:
        return base64.b64encode(content).decode()

    cluster = {
        "server": server,
        "certificate-authority-data": encode(authority),
    }
    credentials = {
        "client-certificate-data": encode(certificate),
        "client-key-data": encode(key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "radixloom", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "radixloom", "context": {"cluster": "radixloom", "user": user}}],
        "current-context": "radixloom",
    }
    return json.dumps(document, indent=2) + "\n"
