"""How many slices there should be, by what the present ones say of their load. Pure.

    demand = load of all slices together / target of one

    demand      0 ───────────── replicas ── 1.1 x replicas ──────>
    wanted      demand, upwards    replicas       demand, upwards

    wanted ──more──> waits scaleUp's stabilization, takes the least that was wanted meanwhile
           └─fewer─> waits scaleDown's,             takes the most

Load is what all slices have together, so slices that start need no guess: they have none yet, and
take theirs from the others when they serve. Waiting requests say nothing of how many slices could
do without: while none waits, one slice less is tried.

A slice that serves but does not tell its load may have any. So what the others tell can be enough
to add slices, never to take one away.

The last slice goes, and the first comes, by what routers tell (minReplicas 0):

    n slices ──no request for scaleToZeroAfterSeconds, no slice has any──> 0
    0 ──a request waits in a router──> 1
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from radixloom_operator.api.autoscaling import (
    Autoscaling,
    AutoscalingStatus,
    LoadMetric,
    LoadTarget,
    PendingScale,
)
from radixloom_operator.demand import Demand
from radixloom_operator.load import Load
from radixloom_operator.times import parse_time, write_time

TOLERANCE = 0.1
"""Part of the target that a slice may be above it."""

AT_TARGET = "AtTarget"
AT_MIN, AT_MAX = "AtMinReplicas", "AtMaxReplicas"
ABOVE, BELOW = "LoadAboveTarget", "LoadBelowTarget"
STABILIZING = "Stabilizing"
OUT_OF_BOUNDS = "ReplicasOutOfBounds"
UNKNOWN = "LoadUnknown"
TO_ZERO = "ScaledToZero"
"""By hand: with minReplicas 1 or more, nothing of ours comes back from there."""
IDLE = "Idle"
"""Nobody asks, and no slice is there, or the last ones go."""
HELD = "RequestsHeld"
SILENT = "RoutersSilent"
"""No slice is there, and no router tells whether anybody asks."""
ASLEEP = (IDLE, SILENT)
OWNED = "ReplicasOwnedElsewhere"

Loads = Sequence[Load | None]
"""Of each slice that serves; None for one that did not tell."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why."""

    replicas: int
    reason: str
    _: KW_ONLY
    pending: PendingScale | None = None


def decide(
    policy: Autoscaling,
    replicas: int,
    loads: Loads,
    previous: AutoscalingStatus | None,
    now: datetime,
    *,
    demand: Demand | None = None,
) -> Verdict:
    """Say how many replicas there should be now, where there are to be `replicas`.

    `demand` is what routers tell, where replicas may be 0.
    """
    if replicas == 0:
        return _from_zero(policy, demand, previous)
    if _is_idle(policy, loads, demand):
        return Verdict(0, IDLE)
    if _bounded(policy, replicas) != replicas:
        return Verdict(_bounded(policy, replicas), OUT_OF_BOUNDS)
    raw = _wanted(policy.target, replicas, loads)
    if raw is None:
        return Verdict(replicas, UNKNOWN)
    wanted = _bounded(policy, raw)
    if wanted == replicas:
        reason = AT_TARGET if raw == replicas else (AT_MAX if raw > replicas else AT_MIN)
        return Verdict(replicas, reason)
    pending = _follow(previous.pending if previous else None, wanted, replicas, now)
    if now < _due(policy, pending, replicas):
        return Verdict(replicas, STABILIZING, pending=pending)
    return Verdict(pending.replicas, ABOVE if wanted > replicas else BELOW)


def average(metric: LoadMetric, loads: Loads) -> int | None:
    """Return the rounded average of the slices that told their load; None when none did."""
    told = [one.of(metric) for one in loads if one is not None]
    return round(sum(told) / len(told)) if told else None


def _wanted(target: LoadTarget, replicas: int, loads: Loads) -> int | None:
    """Return the replicas that carry the load, bounds left aside; None where that is unknown."""
    told = [one.of(target.metric) for one in loads if one is not None]
    if not told:
        return None
    demand = sum(told) / target.value
    if demand > replicas * (1 + TOLERANCE):
        return math.ceil(demand)
    if len(told) < len(loads):
        return None
    if target.metric is LoadMetric.WAITING:
        return replicas if sum(told) else replicas - 1
    return min(replicas, math.ceil(demand))


def _from_zero(
    policy: Autoscaling, demand: Demand | None, previous: AutoscalingStatus | None
) -> Verdict:
    if policy.min_replicas > 0:
        was_ours = previous is not None and previous.reason in ASLEEP
        return Verdict(policy.min_replicas, OUT_OF_BOUNDS) if was_ours else Verdict(0, TO_ZERO)
    if demand is None:
        return Verdict(0, SILENT)
    return Verdict(1, HELD) if demand.held else Verdict(0, IDLE)


def _is_idle(policy: Autoscaling, loads: Loads, demand: Demand | None) -> bool:
    """Tell whether nobody needs a slice: routers had no request, nor has any slice of others.

    While no slice is ready nobody can tell, and one that starts is not taken away.
    """
    if policy.min_replicas > 0 or demand is None or demand.idle_seconds is None:
        return False
    if demand.idle_seconds < policy.idle_limit_seconds or not loads:
        return False
    return all(load is not None and load.running + load.waiting == 0 for load in loads)


def _follow(before: PendingScale | None, wanted: int, replicas: int, now: datetime) -> PendingScale:
    """Go on with the change that waits, if it goes the same way; else begin one."""
    if before is not None and before.replicas > replicas and wanted > replicas:
        return before.model_copy(update={"replicas": min(before.replicas, wanted)})
    if before is not None and before.replicas < replicas and wanted < replicas:
        return before.model_copy(update={"replicas": max(before.replicas, wanted)})
    return PendingScale(replicas=wanted, since=write_time(now))


def _due(policy: Autoscaling, pending: PendingScale, replicas: int) -> datetime:
    is_up = pending.replicas > replicas
    stabilization = policy.scale_up if is_up else policy.scale_down
    return parse_time(pending.since) + timedelta(seconds=stabilization.stabilization_seconds)


def _bounded(policy: Autoscaling, replicas: int) -> int:
    return max(1, policy.min_replicas, min(policy.max_replicas, replicas))
