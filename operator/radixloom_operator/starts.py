"""What the last start of a slice took, phase by phase: of its pod, and of its engine's own report.

    created ──scheduled──> has a node ──fetch, image──> engine started ──weights, compile──> ready
    └─────────────────────────────────────── total ────────────────────────────────────────────┘

A leader is asked once for each start, when it is ready (`GET /startupz`), and what it says is kept
in the status. One that cannot be reached, as from outside the cluster, is told by its pod alone.
"""

from radixloom_operator.api.status_types import LLMServiceStatus, SliceStartup
from radixloom_operator.leaders import Leaders
from radixloom_operator.observed import Observed, ObservedPod
from radixloom_operator.times import parse_time


def startups(
    observed: Observed, previous: LLMServiceStatus, leaders: Leaders
) -> dict[int, SliceStartup]:
    """Tell the last start of each slice; leaders are asked of starts that are not told yet."""
    known = {one.index: one.startup for one in previous.slices if one.startup is not None}
    result: dict[int, SliceStartup] = {}
    for one in observed.slices:
        before = known.get(one.index)
        leader = one.leader if one.is_ready else None
        if (
            leader is None
            or not leader.times.started
            or (before and before.started == leader.times.started)
        ):
            if before is not None:
                result[one.index] = before
            continue
        result[one.index] = _startup(leader, leaders)
    return result


def _startup(leader: ObservedPod, leaders: Leaders) -> SliceStartup:
    report = leaders.report(leader.address) if leader.address else None
    seconds = report.start_seconds if report else {}
    return SliceStartup(
        started=leader.times.started,
        scheduled_seconds=_between(leader.times.created, leader.times.scheduled),
        weights_seconds=_rounded(seconds.get("weights")),
        compile_seconds=_rounded(seconds.get("compile")),
        total_seconds=_between(leader.times.created, leader.times.ready),
        compile_cache_hit=report.compile_cache_hits >= report.num_buckets if report else None,
    )


def _between(begin: str, end: str) -> float | None:
    """Return the seconds between two times; None where one is missing."""
    if not begin or not end:
        return None
    return max(0.0, (parse_time(end) - parse_time(begin)).total_seconds())


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
