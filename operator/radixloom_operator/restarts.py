"""When a slice of several hosts starts again as a whole, and when no more. Pure.

The hosts of a slice compute together: when one is lost, or its engine ends, what the others hold is
worth nothing. So all pods of the slice go and come back together, once for each cause:

    forming ──all hosts there──> formed ──a host lost, failed, or its engine ended──> broken
       ^                                                                                 │
       └── all are gone <── doomed: deleted together <── the pause is over ──────────────┤
                                                                                         │
                     given up: RestartBudgetExhausted <── too many in the window ────────┘

What a slice was made of when it formed, and the restarts since, are remembered in an annotation of
its StatefulSet. It is written before the pods are deleted, with the pods that must go: an operator
that ends in between goes on with just those, and restarts nothing twice.

A host that is alone in its slice is started again by its kubelet, and a lost one is made again by
its StatefulSet. There the restarts are only counted, so that a slice that never stays up is told.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from radixloom_operator.api.status_types import SliceRestart
from radixloom_operator.api.types import Restart
from radixloom_operator.observed import Observed, ObservedPod, ObservedSlice
from radixloom_operator.pod_state import PodReason, PodState
from radixloom_operator.records import MOST_RESTARTS, Member, SliceRecord
from radixloom_operator.times import parse_time, write_time

_FIRST_PAUSE_SECONDS = 10
_LONGEST_PAUSE_SECONDS = 300
_USELESS = frozenset({PodReason.NO_HBM, PodReason.IMAGE, PodReason.CONTAINER_CONFIG})
"""Situations in which new pods would stand where the old ones do."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about one slice, and what is to be said of it."""

    record: SliceRecord
    doomed: tuple[ObservedPod, ...] = ()
    """Pods to delete, once the record is written."""
    restart: SliceRestart | None = None
    """The restart that this turn begins or counts."""
    told: PodState | None = None
    again_seconds: float | None = None
    """When to look again, should nothing happen."""


def judge(one: ObservedSlice, policy: Restart, now: datetime) -> Verdict | None:
    """Judge one slice; None where another revision is on its way, or the slice is."""
    if not one.exists or one.stale_pods(one.revision):
        return None
    record = one.record
    going = tuple(pod for pod in one.pods if pod.uid in record.doomed)
    if going:
        left = tuple(pod for pod in going if not pod.is_ending)
        return Verdict(record, doomed=left, told=_told(one, record.restarts[-1]))
    if not record.members:
        return Verdict(_formed(one, record) if _is_whole(one) else record)
    verdict = _judge_alone if one.hosts == 1 else _judge_gang
    return verdict(one, record, policy, now)


def with_verdicts(
    observed: Observed, policy: Restart, now: datetime
) -> tuple[Observed, float | None]:
    """Return what was observed with what is known of each slice, and when to look again."""
    verdicts = {one.index: judge(one, policy, now) for one in observed.slices}
    slices = tuple(
        replace(one, told=verdict.told) if (verdict := verdicts[one.index]) else one
        for one in observed.slices
    )
    pauses = [one.again_seconds for one in verdicts.values() if one and one.again_seconds]
    return replace(observed, slices=slices), min(pauses, default=None)


def _is_whole(one: ObservedSlice) -> bool:
    """Tell whether every host is there, and nothing of an earlier life."""
    return len(one.pods) == len(one.present) == one.hosts


def _formed(one: ObservedSlice, record: SliceRecord) -> SliceRecord:
    """Remember the pods as they are: what happened to them before is the slice's beginning."""
    members = {pod.name: Member(uid=pod.uid, restarts=pod.restarts) for pod in one.pods}
    return record.model_copy(update={"members": members, "doomed": ()})


# --- one host


def _judge_alone(
    one: ObservedSlice, record: SliceRecord, policy: Restart, now: datetime
) -> Verdict:
    """Count what the kubelet does; nothing is deleted."""
    if not _is_whole(one):
        return Verdict(record)
    (pod,) = one.pods
    member = record.members.get(pod.name)
    if member is None or member.uid != pod.uid:
        return Verdict(_formed(one, record))
    if pod.restarts > member.restarts:
        restart = _ended(pod, now)
        counted = _counted(_formed(one, record), restart)
        is_over = len(_recent(counted, policy, now)) > policy.max_restarts
        record = counted.model_copy(update={"given_up": counted.given_up or is_over})
        return Verdict(record, restart=restart, told=_exhausted(one, record, policy))
    record = _forgiven(one, record, policy, now)
    return Verdict(record, told=_exhausted(one, record, policy))


# --- several hosts


def _judge_gang(one: ObservedSlice, record: SliceRecord, policy: Restart, now: datetime) -> Verdict:
    cause = _cause(one, record, now)
    if cause is None:
        return Verdict(_forgiven(one, record, policy, now))
    if _has_healed(one, record):
        return Verdict(_counted(_formed(one, record), cause), restart=cause)
    if record.given_up:
        return Verdict(record, told=_exhausted(one, record, policy))
    if any(pod.state.reason in _USELESS for pod in one.present):
        return Verdict(record)
    recent = _recent(record, policy, now)
    if len(recent) >= policy.max_restarts:
        record = record.model_copy(update={"given_up": True})
        return Verdict(record, told=_exhausted(one, record, policy, cause))
    due = _due(recent)
    if due is not None and now < due:
        told = _told(one, cause, f" at {write_time(due)}")
        return Verdict(record, told=told, again_seconds=(due - now).total_seconds())
    doomed = one.present
    begun = _counted(record, cause).model_copy(
        update={"members": {}, "doomed": tuple(pod.uid for pod in doomed)}
    )
    return Verdict(begun, doomed=doomed, restart=cause, told=_told(one, cause))


def _cause(one: ObservedSlice, record: SliceRecord, now: datetime) -> SliceRestart | None:
    """Say what broke a slice that had formed; None while it is what it was."""
    present = {pod.name: pod for pod in one.present}
    for name, member in record.members.items():
        pod = present.get(name)
        if pod is None or pod.uid != member.uid:
            return SliceRestart(time=write_time(now), reason="PodLost", pod=name)
        if pod.state.reason is PodReason.FAILED or pod.restarts > member.restarts:
            return _ended(pod, now)
    return None


def _has_healed(one: ObservedSlice, record: SliceRecord) -> bool:
    """Tell whether the slice serves again though nobody deleted its pods.

    Hosts that lose another end by themselves, and their kubelets start them again. A leader that is
    still the old one only has not noticed yet.
    """
    leader = one.leader
    if leader is None or not one.is_ready:
        return False
    member = record.members.get(leader.name)
    return member is None or (member.uid, member.restarts) != (leader.uid, leader.restarts)


def _due(recent: tuple[SliceRestart, ...]) -> datetime | None:
    """Return when the next restart may begin: at once the first time, then ever later."""
    if not recent:
        return None
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** (len(recent) - 1), _LONGEST_PAUSE_SECONDS)
    return parse_time(recent[-1].time) + timedelta(seconds=pause)


# --- counting


def _ended(pod: ObservedPod, now: datetime) -> SliceRestart:
    is_failed = pod.state.reason is PodReason.FAILED
    reason = pod.ending.reason if pod.ending else "EngineEnded"
    return SliceRestart(
        time=write_time(now),
        reason="PodFailed" if is_failed else reason,
        pod=pod.name,
        exit_code=pod.ending.code if pod.ending else None,
    )


def _counted(record: SliceRecord, restart: SliceRestart) -> SliceRecord:
    return record.model_copy(
        update={"restarts": (*record.restarts, restart)[-MOST_RESTARTS:], "total": record.total + 1}
    )


def _recent(record: SliceRecord, policy: Restart, now: datetime) -> tuple[SliceRestart, ...]:
    begin = now - timedelta(seconds=policy.window_seconds)
    return tuple(one for one in record.restarts if parse_time(one.time) > begin)


def _forgiven(
    one: ObservedSlice, record: SliceRecord, policy: Restart, now: datetime
) -> SliceRecord:
    """Count anew once a slice that was given up has served for as long as the window."""
    if record.given_up and one.is_ready and not _recent(record, policy, now):
        return record.model_copy(update={"given_up": False})
    return record


# --- telling


def describe(restart: SliceRestart) -> str:
    """Say a cause in words."""
    match restart.reason:
        case "PodLost":
            return f"pod {restart.pod} was lost"
        case "PodFailed":
            return f"pod {restart.pod} failed"
        case _:
            kind = "" if restart.reason == "EngineEnded" else f" ({restart.reason})"
            return f"the engine of pod {restart.pod} ended with code {restart.exit_code}{kind}"


def _told(one: ObservedSlice, restart: SliceRestart, when: str = "") -> PodState:
    return PodState(
        PodReason.RESTARTING, f"slice {one.index} restarts as a whole{when}: {describe(restart)}"
    )


def _exhausted(
    one: ObservedSlice, record: SliceRecord, policy: Restart, cause: SliceRestart | None = None
) -> PodState | None:
    if not record.given_up:
        return None
    last = cause or (record.restarts[-1] if record.restarts else None)
    return PodState(
        PodReason.BUDGET,
        f"slice {one.index} was restarted {policy.max_restarts} times within"
        f" {policy.window_seconds} s and is left as it is"
        + (f": {describe(last)}" if last else "")
        + "; mend the cause, then change the spec (a new revision starts anew)",
    )
