"""One turn of autoscaling: measure, decide, write. The only part of it that writes.

`spec.replicas` is written through /scale, and only as it was read: should anybody have written the
object meanwhile, the API server refuses, and the next turn looks again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from radixloom_operator.api.autoscaling import Autoscaling, AutoscalingStatus
from radixloom_operator.autoscaling.decision import OWNED, Loads, Verdict, average, decide
from radixloom_operator.autoscaling.meter import Meter
from radixloom_operator.autoscaling.ownership import owner_elsewhere
from radixloom_operator.cluster import Cluster
from radixloom_operator.execution import Work
from radixloom_operator.observed import Observed
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
        verdict = (
            Verdict(replicas, OWNED) if owner else decide(policy, replicas, loads, before, now)
        )
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


def _story(policy: Autoscaling, replicas: int, verdict: Verdict, loads: Loads) -> str:
    target = policy.target
    measured = average(target.metric, loads)
    seen = "is not known" if measured is None else f"is {measured} on average"
    return (
        f"replicas {replicas} -> {verdict.replicas}: {verdict.reason};"
        f" {target.metric} {seen}, {target.value} is the target"
    )
