"""The cgroups that hold the cluster's containers, in either version of the hierarchy."""

import time
from contextlib import suppress
from pathlib import Path

from hack.cluster.layout import CGROUP
from hack.cluster.processes import Identity, identify

_ROOT = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def is_v2() -> bool:
    """Say whether the machine has the unified hierarchy alone."""
    return (_ROOT / "cgroup.controllers").exists()


def hierarchies(mounts: str) -> list[Path]:
    """List where cgroup hierarchies are mounted, from the text of /proc/mounts."""
    fields = [line.split() for line in mounts.splitlines()]
    return [Path(field[1]) for field in fields if len(field) > 2 and field[2].startswith("cgroup")]


def _ours() -> list[Path]:
    roots = hierarchies(Path("/proc/mounts").read_text())
    return [root / CGROUP for root in roots if (root / CGROUP).is_dir()]


def create(path: str) -> None:
    """Make the cgroup `path` in every hierarchy: the kubelet wants its root to be there."""
    for root in hierarchies(Path("/proc/mounts").read_text()):
        current = root
        for part in Path(path).parts:
            _delegate(current)
            parent, current = current, current / part
            current.mkdir(exist_ok=True)
            _inherit_cpuset(parent, current)


def _delegate(cgroup: Path) -> None:
    """Let children of a v2 cgroup have controllers, where the kernel has them."""
    control = cgroup / "cgroup.subtree_control"
    if control.exists():
        for controller in _V2_CONTROLLERS:
            with suppress(OSError):
                control.write_text(f"+{controller}")


def _inherit_cpuset(parent: Path, child: Path) -> None:
    """Copy the parent's processors: a new v1 cpuset is empty and admits no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        mine = child / name
        if mine.exists() and not is_v2() and not mine.read_text().strip():
            with suppress(OSError):
                mine.write_text((parent / name).read_text())


def members() -> list[Identity]:
    """List every process inside our cgroups: containers, and nothing else."""
    pids: set[int] = set()
    for cgroup in _ours():
        for tasks in cgroup.rglob("cgroup.procs"):
            with suppress(OSError):
                pids.update(int(line) for line in tasks.read_text().split())
    return [member for pid in sorted(pids) if (member := identify(pid))]


def remove() -> list[Path]:
    """Remove our cgroups, innermost first; return those that stay."""
    for _ in range(20):
        for cgroup in _ours():
            folders = [path for path in cgroup.rglob("*") if path.is_dir()]
            for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                cgroup.rmdir()
        if not _ours():
            break
        time.sleep(0.1)  # the kernel frees the last process a moment after its end
    return _ours()
