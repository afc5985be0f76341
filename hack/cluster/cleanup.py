"""Leave nothing behind but the cache, whatever state the cluster is in.

Works from what the machine shows, not from what `up` remembers, so it serves as well after
`kill -9` of everything or after a reboot:

    daemons → containers and shims → mounts → links, addresses, rules, settings → cgroups → files
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from hack.cluster import cgroups, mounts, network, processes
from hack.cluster.layout import NETWORK_PREFIX, Layout

_GRACE_SECONDS = 5.0
_CNI_RESULTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")
_DEVICE_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
# Removed if nothing is in them: made by the kubelet, CNI or containerd, outermost last.
_FIXED_FOLDERS = (
    _CNI_RESULTS,
    _CNI_RESULTS.parent,
    _LOG_LINKS,
    _DEVICE_SOCKET.parent,
    _DEVICE_SOCKET.parent.parent,
    Path("/run/containerd/s"),
    Path("/run/containerd"),
)


def sweep(layout: Layout) -> list[str]:
    """End and remove all that a local cluster may have left; return what could not be."""
    processes.end(processes.ours(layout.root, layout.run), grace_seconds=_GRACE_SECONDS)
    processes.kill(cgroups.members())
    busy = mounts.unmount_below(layout.run)
    network.remove_links()
    network.remove_rules()
    network.restore_settings(layout)
    stuck = cgroups.remove()
    _remove_outside_files(layout)
    leftovers = [f"mount {point}" for point in busy] + [f"cgroup {path}" for path in stuck]
    leftovers += [f"process {p.pid}" for p in processes.ours(layout.root, layout.run)]
    if not busy:
        shutil.rmtree(layout.run, ignore_errors=True)
    return leftovers


def _remove_outside_files(layout: Layout) -> None:
    """Remove what containerd, CNI and the kubelet keep at fixed places of the machine."""
    for bootstrap in layout.run.glob("nodes/*/containerd/state/*/*/*/bootstrap.json"):
        with suppress(OSError, ValueError):
            address = str(json.loads(bootstrap.read_text())["address"])
            Path(address.removeprefix("unix://")).unlink(missing_ok=True)
    for result in _CNI_RESULTS.glob(f"{NETWORK_PREFIX}*"):
        result.unlink()
    if _LOG_LINKS.is_dir():
        for link in _LOG_LINKS.iterdir():
            if link.is_symlink() and link.readlink().is_relative_to(layout.run):
                link.unlink()
    if not processes.foreign_kubelets(layout.root):
        _DEVICE_SOCKET.unlink(missing_ok=True)
    for folder in _FIXED_FOLDERS:
        with suppress(OSError):
            folder.rmdir()
