"""Start daemons, recognise them later, and end only those.

A pid alone proves nothing: after a reboot it is somebody else's. Each record therefore
keeps the kernel's start time of the process and the boot it belongs to.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster.shell import Argument

_DAEMONS = frozenset(
    {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "containerd",
        "containerd-shim-runc-v2",
    }
)


@dataclass(frozen=True, slots=True)
class Identity:
    """One process of one boot: a reused pid has other start ticks."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def parse_stat(stat: str) -> tuple[str, int]:
    """Read (state, start ticks) from a line of /proc/PID/stat.

    The command in the second field may itself hold spaces and parentheses.
    """
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def identify(pid: int) -> Identity | None:
    """Return who runs under `pid` now, or None; a zombie counts as gone."""
    try:
        state, start_ticks = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, IndexError, ValueError):
        return None
    return None if state in {"Z", "X"} else Identity(pid, start_ticks, boot_id())


def is_running(process: Identity) -> bool:
    """Say whether this very process still runs."""
    return identify(process.pid) == process


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(
    name: str,
    argv: Sequence[Argument],
    *,
    records: Path,
    logs: Path,
    env: Mapping[str, str],
) -> None:
    """Start a daemon in a session of its own and write down who it is."""
    words = [str(part) for part in argv]
    with (logs / f"{name}.log").open("ab") as log:
        # Not Popen, which minds a child it has to leave running.
        pid = os.posix_spawn(
            words[0],
            words,
            {**os.environ, **env},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
            setsid=True,
        )
    identity = identify(pid)
    record = asdict(identity) if identity else {"pid": 0, "start_ticks": 0, "boot_id": ""}
    (records / f"{name}.json").write_text(json.dumps(record))


def recorded(records: Path) -> dict[str, Identity]:
    """Return every daemon that was started, running or not, by name."""
    return {
        path.stem: Identity(**json.loads(path.read_text()))
        for path in sorted(records.glob("*.json"))
    }


def ours(binaries_root: Path, run: Path) -> list[Identity]:
    """Find daemons of this cluster by program and arguments, recorded or not.

    Both must be ours: the program lies in our cache, and the command line speaks of our run
    folder. kubectl and helm are the user's own and never among them.
    """
    return _matching(lambda program, command: _is_ours(program, command, binaries_root, run))


def _is_ours(program: Path, command: str, binaries_root: Path, run: Path) -> bool:
    # The kernel marks a program whose file was replaced meanwhile.
    name = program.name.removesuffix(" (deleted)")
    return name in _DAEMONS and program.is_relative_to(binaries_root) and f"{run}/" in command


def foreign_kubelets(binaries_root: Path) -> list[Identity]:
    """Find kubelets and k3s servers that are not ours: two sets of KUBE-* rules clash.

    Those of kind have a network, and so rules, of their own.
    """
    found = _matching(
        lambda program, _: (
            program.name in {"kubelet", "k3s"} and not program.is_relative_to(binaries_root)
        )
    )
    here = _network(os.getpid())
    return [process for process in found if _network(process.pid) == here]


def _network(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink()
    except OSError:
        return None


def _matching(wanted: Callable[[Path, str], bool]) -> list[Identity]:
    found: list[Identity] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            program = (entry / "exe").readlink()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if wanted(program, command) and (identity := identify(int(entry.name))):
            found.append(identity)
    return found


def end(targets: Iterable[Identity], *, grace_seconds: float) -> None:
    """Ask all of them to stop, then kill those that remain."""
    remaining = _signal(targets, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = [process for process in remaining if is_running(process)]
    kill(remaining)


def kill(targets: Iterable[Identity]) -> None:
    """Kill all of them and wait until the kernel has let go."""
    remaining = _signal(targets, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while remaining and time.monotonic() < deadline:
        time.sleep(0.02)
        remaining = [process for process in remaining if is_running(process)]


def _signal(targets: Iterable[Identity], number: signal.Signals) -> list[Identity]:
    signalled: list[Identity] = []
    for process in targets:
        if is_running(process):
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue
            signalled.append(process)
    return signalled
