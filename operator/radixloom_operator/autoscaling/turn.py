"""One turn of autoscaling: measure, decide, write. The only part of it that writes.

`spec.replicas` is written through /scale, and only as it was read: should anybody have written the
object meanwhile, the API server refuses, and the next turn looks again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from radixloom_operator.api.autoscaling import Autoscaling, AutoscalingStatus
from radixloom_operator.autoscaling.decision import (
    HELD,
    IDLE,
    OWNED,
    Loads,
    Verdict,
    average,
    decide,
)
from radixloom_operator.autoscaling.meter import Meter, router_addresses
from radixloom_operator.autoscaling.ownership import owner_elsewhere
from radixloom_operator.cluster import Cluster
from radixloom_operator.demand import Demand
from radixloom_operator.execution import Work
from radixloom_operator.naming import Key
from radixloom_operator.observed import Observed
from radixloom_operator.pod_state import is_ready
from radixloom_operator.times import write_time


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Measures by `meter` and writes to `cluster`."""

    meter: Meter
    cluster: Cluster

    def turn(
        self,
        policy: Autoscaling,
        manifest: dict[str, Any],
        observed: Observed,
        before: AutoscalingStatus | None,
        *,
        work: Work,
        now: datetime,
    ) -> AutoscalingStatus:
        """Bring `spec.replicas` of the service in `manifest` to what its load asks for.

        Raises:
            ClusterError: the service was written meanwhile, or the API server was not well.
        """
        replicas: int = manifest["spec"].get("replicas", 1)
        owner = owner_elsewhere(manifest)
        loads = self.meter.loads(manifest["metadata"]["uid"], observed, now)
        if owner:
            verdict = Verdict(replicas, OWNED)
        else:
            demand = self._demand(policy, manifest, replicas)
            verdict = decide(policy, replicas, loads, before, now, demand=demand)
        last_scale_time = before.last_scale_time if before else None
        if verdict.replicas != replicas:
            with work.attempt():
                self.cluster.scale(manifest, verdict.replicas)
                last_scale_time = write_time(now)
                work.tell("Autoscaled", _story(policy, replicas, verdict, loads))
        return AutoscalingStatus(
            metric=policy.target.metric,
            value=average(policy.target.metric, loads),
            desired_replicas=verdict.replicas,
            reason=verdict.reason,
            owner=owner,
            pending=verdict.pending,
            last_scale_time=last_scale_time,
        )

    def _demand(
        self, policy: Autoscaling, manifest: dict[str, Any], replicas: int
    ) -> Demand | None:
        """Ask routers what is wanted, where that counts; of a service that sleeps, from now on."""
        if policy.min_replicas > 0:
            return None
        key = Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        pods = self.cluster.routers(key)
        if replicas == 0:  # all sleepers wait for one that does not answer
            self.meter.sleepers.put(key, router_addresses(filter(is_ready, pods)))
        return self.meter.demand(router_addresses(pods))


def _story(policy: Autoscaling, replicas: int, verdict: Verdict, loads: Loads) -> str:
    head = f"replicas {replicas} -> {verdict.replicas}: {verdict.reason}"
    if verdict.reason == IDLE:
        return f"{head}; nobody has asked for {policy.idle_limit_seconds} s"
    if verdict.reason == HELD:
        return f"{head}; a request waits in a router"
    target = policy.target
    measured = average(target.metric, loads)
    seen = "is not known" if measured is None else f"is {measured} on average"
    return f"{head}; {target.metric} {seen}, {target.value} is the target"
