"""Two operators and a thousand LLMServices at a real API server: how fast, how quiet, who leads.

    python bench/operator_scale.py [--services 1000] [--quiet-seconds 60] [--without-controllers]

It needs `hack.cluster`'s programs; no pod ever runs. Figures are of one
machine on which API server, controller manager and operators share the processors. Whose write it
was is read from the API server's audit log: each operator is a ServiceAccount with the chart's
rights.
"""

import argparse
import functools
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.operator_process import Clients, OperatorProcess, Write, writes_of
from hack.cluster.bare import BareCluster, bare_cluster

_CREATED_AT_ONCE = 8
_LIMIT_SECONDS = 600.0
_SETTLED_SECONDS = 10.0
_AWAKE_SECONDS = 20.0
_LOOK_SECONDS = 0.5
"""A look at a thousand services costs the API server as much as some turns."""


def main() -> None:
    """Measure and print a table; fail where what has to hold does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--quiet-seconds", type=float, default=60.0)
    parser.add_argument("--without-controllers", action="store_true", help="the operator alone")
    options = parser.parse_args()
    with bare_cluster(with_controllers=not options.without_controllers) as cluster:
        clients = Clients.prepare(cluster)
        with OperatorProcess(clients, "a") as first:
            wait("the first operator leads", lambda: clients.leader() != "")
            with OperatorProcess(clients, "b") as second:
                measure_convergence(clients, options.services)
                for one in (first, second):
                    show(f"CPU of operator {one.name} by then", f"{one.cpu_seconds():.0f} s")
                if not options.without_controllers:
                    all_made = functools.partial(have_pods, clients, options.services)
                    wait("every slice has its pod", all_made)
                measure_quiet(cluster, options.quiet_seconds)
                for one in (first, second):
                    show(f"peak RSS of operator {one.name}", f"{one.peak_rss_mb():.0f} MB")
                measure_failover(cluster, clients, first, options.services // 5)
                show(
                    "operators' CPU, a / b",
                    f"{first.cpu_seconds():.0f} / {second.cpu_seconds():.0f} s",
                )


def have_pods(clients: Clients, services: int) -> bool:
    """Tell whether the controller of StatefulSets, which takes its time, has made all pods."""
    return clients.num_pods() == services


def measure_convergence(clients: Clients, services: int) -> None:
    """Create all services at once, and wait until each has its objects and a status."""
    before = clients.cluster.cpu_seconds()
    started = time.monotonic()
    with ThreadPoolExecutor(_CREATED_AT_ONCE) as pool:
        list(pool.map(clients.create_service, range(services)))
    created = time.monotonic() - started
    wait(f"{services} services have a slice", lambda: clients.num_told() == services)
    show(f"{services} services created", f"{created:.1f} s")
    show(f"{services} services converged", f"{time.monotonic() - started:.1f} s")
    show_cpu(clients.cluster, before)


def show_cpu(cluster: BareCluster, before: dict[str, float]) -> None:
    """Tell how much processor time the control plane took, whatever else the machine did."""
    for name, seconds in cluster.cpu_seconds().items():
        show(f"CPU of {name} by then", f"{seconds - before[name]:.0f} s")


def measure_quiet(cluster: BareCluster, seconds: float) -> None:
    """Count writes once they have come to rest."""
    wait("writes come to rest", lambda: age_of_last_write(cluster) > _SETTLED_SECONDS)
    before = len(writes_of(cluster, "ab"))
    time.sleep(seconds)
    late = writes_of(cluster, "ab")[before:]
    show(f"writes in {seconds:.0f} s after that", str(len(late)))
    require(not late, f"a settled service costs no writes, found {late[:3]}")


def measure_failover(
    cluster: BareCluster, clients: Clients, first: OperatorProcess, num_changed: int
) -> None:
    """Stop the leader in the middle of its work, and wake it when another leads."""
    leader = clients.leader()
    clients.change_services(range(num_changed))
    wait("the change has begun", lambda: age_of_last_write(cluster) < 0.5)
    first.send(signal.SIGSTOP)
    stopped = time.monotonic()
    wait("the other leads", lambda: clients.leader() != leader)
    show("SIGSTOP until another led", f"{time.monotonic() - stopped:.1f} s")
    wait("it writes", lambda: has_written(cluster, "b"))
    show("SIGSTOP until its first write", f"{time.monotonic() - stopped:.1f} s")
    before = len(writes_of(cluster, "a"))
    first.send(signal.SIGCONT)
    time.sleep(_AWAKE_SECONDS)
    late = writes_of(cluster, "a")[before:]
    show("writes of the first after SIGCONT", str(len(late)))
    require(not late, f"one that leads no more writes nothing, found {late[:3]}")
    wait("the change is done", lambda: clients.num_changed() == num_changed)


def has_written(cluster: BareCluster, name: str) -> bool:
    """Tell whether an operator wrote anything but its lease."""
    return bool(writes_of(cluster, name))


def age_of_last_write(cluster: BareCluster) -> float:
    """Return the seconds since an operator wrote anything but its lease."""
    writes: list[Write] = writes_of(cluster, "ab")
    return time.time() - writes[-1].seconds if writes else 0.0  # noqa: TID251 - the log has wall time


def wait(what: str, look: Callable[[], bool]) -> None:
    """Wait until `look` says yes, bounded."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not look():
        require(time.monotonic() < deadline, f"not after {_LIMIT_SECONDS:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - as `assert`, which may be off
    """Fail with `what` unless it holds."""
    if not holds:
        raise SystemExit(what)


def show(what: str, figure: str) -> None:
    """Print one line of the table."""
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
