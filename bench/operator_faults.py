"""An operator that is killed after every one of its writes, or whose API server goes wrong.

    python bench/operator_faults.py [--seeds 20]         (`make soak`)

etcd, kube-apiserver and controller manager are real; no kubelet: pods are told ready as soon as
they are there. The life of a service is lived once undisturbed, once with `kill -9` after every
write, and once for each seed through a proxy that injects errors, lost answers and dead watches.
After every step of it the API server must hold the same objects.
"""

import argparse
import functools
import signal
import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api_proxy import ApiProxy, Policy, Seeded, api_proxy, killing, nothing
from bench.forked_operator import ForkedOperator
from bench.operator_stage import LEASES, Stage, make_namespace, wait, world
from hack.cluster.bare import BareCluster
from radixloom_operator.connection import Connection

Manifest = dict[str, Any]

_AT_ONCE = 5
"""Lives; more would wait for the processors."""
_MOST_WRITES = 60
"""Of one step; more would be an operator that gets nowhere."""

STEPS: tuple[Manifest, ...] = (
    {"replicas": 2},
    {"replicas": 2, "engine": {"image": "runtime:changed"}},
    {"replicas": 1, "engine": {"image": "runtime:changed"}},
)
"""Creation, a rollout, a scale down: what spec holds beside model and hardware."""


@dataclass(frozen=True, slots=True)
class Life:
    """How a service fared."""

    outcomes: tuple[Manifest, ...]
    """After each step."""
    disturbances: int
    leaks: tuple[str, ...] = ()
    """Where a secret was told."""


@dataclass(frozen=True, slots=True)
class Lives:
    """All lives, as they are lived."""

    undisturbed: Future[Life]
    """The one that others are compared with."""
    killed: Future[Life]
    faulty: dict[int, Future[Life]]
    """By seed."""
    stopped: Future[list[str]]


@contextmanager
def lives(
    cluster: BareCluster, admin: Connection, folder: Path, seeds: Iterable[int]
) -> Generator[Lives]:
    """Live side by side, in namespaces with operators of their own, which wait most of the time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield Lives(
            undisturbed=pool.submit(undisturbed, cluster, admin, folder),
            killed=pool.submit(killed_after_every_write, cluster, admin, folder),
            stopped=pool.submit(stopped_and_woken, cluster, admin, folder),
            faulty={one: pool.submit(with_faults, cluster, admin, folder, one) for one in seeds},
        )


def undisturbed(cluster: BareCluster, admin: Connection, folder: Path) -> Life:
    """Live the life that others are compared with."""
    return _with_policy(cluster, admin, folder, "undisturbed", nothing)


def with_faults(cluster: BareCluster, admin: Connection, folder: Path, seed: int) -> Life:
    """Live it with an API server that goes wrong by `seed`, at every step anew."""
    return _with_policy(cluster, admin, folder, f"seed-{seed}", Seeded(seed))


def _with_policy(
    cluster: BareCluster, admin: Connection, folder: Path, name: str, policy: Policy
) -> Life:
    stage = Stage(admin, name)
    make_namespace(admin, name)
    outcomes: list[Manifest] = []
    log = folder / f"{name}.log"
    with api_proxy(cluster.kubeconfig) as proxy, ForkedOperator(proxy, log, namespace=name):
        for step in STEPS:
            proxy.policy = policy
            stage.apply(step)
            wait(f"{name}: {step} is done", stage.is_settled)
            # a watch may stall still: what it did not tell the next resync finds
            proxy.policy = nothing
            is_over = functools.partial(is_done, stage, proxy, since=time.monotonic())
            wait(f"{name}: nothing is left to do", is_over)
            outcomes.append(stage.outcome())
    injected = policy.injected if isinstance(policy, Seeded) else []
    leaks = stage.leaks(log)
    _end(stage)
    return Life(tuple(outcomes), len(injected), tuple(leaks))


def killed_after_every_write(cluster: BareCluster, admin: Connection, folder: Path) -> Life:
    """Live it with operators of which each is killed after its first write."""
    name = "killed"
    stage = Stage(admin, name)
    make_namespace(admin, name)
    outcomes: list[Manifest] = []
    kills = 0
    with api_proxy(cluster.kubeconfig) as proxy:
        for step in STEPS:
            stage.apply(step)
            kills += _one_write_each(stage, proxy, folder / f"{name}.log")
            outcomes.append(stage.outcome())
    _end(stage)
    return Life(tuple(outcomes), kills)


def _one_write_each(stage: Stage, proxy: ApiProxy, log: Path) -> int:
    """Start operators until one finds nothing to write; return how many were killed."""
    for kills in range(_MOST_WRITES):
        with ForkedOperator(proxy, log, namespace=stage.namespace) as operator:
            proxy.policy = killing(functools.partial(operator.send, signal.SIGKILL))
            is_over = functools.partial(is_done, stage, proxy, since=time.monotonic())
            wait(
                "the operator is killed, or has nothing to do",
                lambda operator=operator, is_over=is_over: not operator.is_alive or is_over(),
            )
            if operator.is_alive:
                return kills
    raise SystemExit(f"more than {_MOST_WRITES} writes: {proxy.writes[-5:]}")


def stopped_and_woken(cluster: BareCluster, admin: Connection, folder: Path) -> list[str]:
    """Stop the leader in the middle of a change; return what it wrote once another led."""
    stage = Stage(admin, "stopped")
    make_namespace(admin, stage.namespace)
    operator = functools.partial(ForkedOperator, namespace=stage.namespace, lease_namespace=LEASES)
    with (
        api_proxy(cluster.kubeconfig) as first,
        api_proxy(cluster.kubeconfig) as second,
        operator(first, folder / "first.log") as old,
    ):
        stopped = threading.Event()
        first.policy = stopping(old, stopped)
        stage.apply(STEPS[0])
        wait("the first stands still", stopped.is_set)
        with operator(second, folder / "second.log"):
            wait("the second has done it", lambda: bool(second.writes) and stage.is_settled())
            before = len(first.writes)
            old.send(signal.SIGCONT)
            stage.apply(STEPS[1])
            is_over = functools.partial(is_done, stage, second, since=time.monotonic())
            wait("the second goes on", is_over)
        late = [what for _, what in first.writes[before:]]
    _end(stage)
    return late


def stopping(operator: ForkedOperator, stopped: threading.Event) -> Policy:
    """Stop an operator in the midst of a write.

    There it waits for an answer. Anywhere else it may have asked its fence and not written yet,
    and would: no client can close that moment.
    """

    def stop() -> None:
        operator.send(signal.SIGSTOP)
        stopped.set()

    return killing(stop)


def is_done(stage: Stage, proxy: ApiProxy, *, since: float) -> bool:
    """Tell whether the service is as it should be and a whole turn found nothing to write."""
    return stage.is_settled() and proxy.has_rested(since)


def _end(stage: Stage) -> None:
    """Delete the service while no operator runs; the garbage collector takes the rest."""
    stage.delete()
    wait("nothing is left behind", lambda: not stage.children())


def differences(one: Life, other: Life) -> list[str]:
    """Say in what two lives ended differently, step by step."""
    found: list[str] = []
    for number, (ours, theirs) in enumerate(zip(one.outcomes, other.outcomes, strict=True)):
        found += [
            f"step {number}: {key}: {ours.get(key)} and {theirs.get(key)}"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]
    return found


def main() -> None:
    """Live many lives, print a table, and fail where one ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    with world() as where, lives(*where, where[0].kubeconfig.parent, range(options.seeds)) as lived:
        expected = lived.undisturbed.result()
        found = _report("kill -9 after every write", lived.killed.result(), expected)
        late = lived.stopped.result()
        print(f"| SIGSTOP, another leads, SIGCONT | 1 | {late or 'no late write'} |", flush=True)
        for seed, life in lived.faulty.items():
            found += _report(f"seed {seed}", life.result(), expected)
    if found or late:
        raise SystemExit("\n".join([*found, *late]))


def _report(what: str, life: Life, expected: Life) -> list[str]:
    found = differences(life, expected)
    print(f"| {what} | {life.disturbances} | {found or 'the same end'} |", flush=True)
    return found


if __name__ == "__main__":
    main()
