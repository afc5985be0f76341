"""What this machine lacks for a local cluster, in the order a user should fix it."""

import os
import platform
import shutil
import socket
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from hack.cluster import processes
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout
from hack.cluster.shell import run, succeeds

_ELSEWHERE = (
    "The local cluster runs its components as processes and needs Linux and root. Here,"
    " `make serve` runs the runtime alone, without Kubernetes; with Docker started,"
    " `python -m hack.cluster up --provider kind` gives a cluster inside containers."
)
# Debian's package for each program that `up` cannot do without.
_PROGRAMS = {
    "iptables-save": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "openssl": "openssl",
    "npm": "npm",
}
_NEEDED_BYTES = 12 * 10**9
# The kubelet's longest socket below the run folder has 61 characters; the kernel takes 107.
_LONGEST_RUN_PATH = 107 - 61


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is missing; a fatal one cannot be helped on this machine."""

    message: str
    is_fatal: bool = False


Rule = Callable[[Layout], Problem | None]


def linux(layout: Layout) -> Problem | None:
    """Only Linux has namespaces, cgroups and iptables."""
    del layout
    system = platform.system()
    return None if system == "Linux" else Problem(f"This is {system}. {_ELSEWHERE}", is_fatal=True)


def root(layout: Layout) -> Problem | None:
    """Mounts, addresses and packet rules are root's."""
    del layout
    if os.geteuid() == 0:
        return None
    return Problem(f"You are not root. {_ELSEWHERE}", is_fatal=True)


def apt(layout: Layout) -> Problem | None:
    """The programs come in part from Debian's packages."""
    del layout
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        return None
    return Problem(f"There is no apt-get: this is no Debian. {_ELSEWHERE}", is_fatal=True)


def short_path(layout: Layout) -> Problem | None:
    """Unix sockets lie below the run folder, and their paths are limited."""
    if len(str(layout.run)) <= _LONGEST_RUN_PATH:
        return None
    return Problem(
        f"{layout.run} is too long for the sockets below it (at most {_LONGEST_RUN_PATH}"
        " characters); set XDG_CACHE_HOME to a shorter folder",
        is_fatal=True,
    )


def disk(layout: Layout) -> Problem | None:
    """Programs, Go's build cache and images take room."""
    place = next(path for path in (layout.root, *layout.root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free >= _NEEDED_BYTES or (layout.binaries / "kubelet").exists():
        return None
    return Problem(
        f"{place} has {free / 1e9:.0f} GB free, the first `up` needs {_NEEDED_BYTES / 1e9:.0f};"
        " make room or set XDG_CACHE_HOME to a larger disk"
    )


def alone(layout: Layout) -> Problem | None:
    """Two kubelets with their own packet rules undo each other's."""
    foreign = processes.foreign_kubelets(layout.root)
    if not foreign:
        return None
    pids = ", ".join(str(process.pid) for process in foreign)
    return Problem(
        f"another Kubernetes runs on this machine (pid {pids}); use it through its kubeconfig,"
        " or stop it first"
    )


def ports(layout: Layout) -> Problem | None:
    """Nobody else may listen where the control plane will."""
    if layout.run.exists():
        return None  # ours, perhaps
    taken = [port for port in astuple(layout.ports) if not is_free(port)]
    if not taken:
        return None
    listed = ", ".join(map(str, taken))
    return Problem(f"port {listed} of 127.0.0.1 is taken; `ss -ltnp` shows by whom")


def is_free(port: int) -> bool:
    """Tell whether a server may listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


TO_FETCH: tuple[Rule, ...] = (linux, apt, disk)
TO_START: tuple[Rule, ...] = (linux, root, apt, short_path, disk, alone, ports)


def problems(layout: Layout, rules: tuple[Rule, ...]) -> list[Problem]:
    """List everything wrong with this machine; after a fatal one the rest means nothing."""
    found: list[Problem] = []
    for rule in rules:
        problem = rule(layout)
        if problem:
            found.append(problem)
            if problem.is_fatal:
                break
    return found


def missing_packages() -> list[str]:
    """List the Debian packages whose programs this machine lacks."""
    # sbin is not on every root's PATH.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        package for program, package in _PROGRAMS.items() if not shutil.which(program, path=path)
    ]


def require(layout: Layout, rules: tuple[Rule, ...]) -> None:
    """Stop with everything that is wrong.

    Raises:
        ClusterError: with exit code 2 where this machine cannot run a local cluster.
    """
    found = problems(layout, rules)
    if found:
        fatal = any(problem.is_fatal for problem in found)
        text = "\n".join(problem.message for problem in found)
        raise ClusterError(text, exit_code=2 if fatal else 1)


def install_missing() -> None:
    """Install what apt has for the programs that are missing.

    Raises:
        ClusterError: apt-get fails, or only root could run it.
    """
    packages = missing_packages()
    if not packages:
        return
    if os.geteuid() != 0:
        raise ClusterError(f"missing; ask root for: apt-get install {' '.join(packages)}")
    install(packages)


def install(packages: list[str]) -> None:
    """Install Debian packages, reading the package index first where it is missing."""
    say(f"installing with apt-get: {', '.join(packages)}")
    if not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        run(["apt-get", "update"])
    options = ("-y", "--no-install-recommends")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", *options, *packages]
    if not succeeds(["env", "DEBIAN_FRONTEND=noninteractive", *command], timeout_seconds=600):
        run(["apt-get", "update"])  # an old index names files that the mirror no longer has
        run(command, env=quiet)
