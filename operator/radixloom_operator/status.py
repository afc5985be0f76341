"""The status of a service, worked out from what exists. Pure; the clock comes as an argument.

    Accepted      the spec can be served
    Progressing   something is under way: starting, rolling out, waiting for a node
    Ready         every wanted slice serves
    Degraded      something is broken and does not mend itself

Reasons are those of the worst slice, so that `kubectl get llmsvc` tells loading from crashing and
no TPU capacity from a wrong image.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from radixloom_operator.api.status_types import (
    Condition,
    ConditionType,
    LLMServiceStatus,
    SliceInfo,
    SlicePhase,
    SliceStatus,
)
from radixloom_operator.api.validation import Problem
from radixloom_operator.naming import leader_selector, selector_text
from radixloom_operator.observed import Observed, ObservedSlice
from radixloom_operator.pod_state import FAILING, STARTING, PodReason, PodState
from radixloom_runtime.topology import Slice

Answer = tuple[ConditionType, Literal["True", "False"], str, str]
"""Type, status, reason, message of a condition."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a status tells of, beside what was observed."""

    name: str
    generation: int
    replicas: int
    """Wanted slices."""
    revision: str
    is_paused: bool
    model_name: str
    url: str
    hardware: Slice
    failure: Problem | None = None
    """What the API server refused in this turn."""


def accepted_status(
    facts: Facts, observed: Observed, previous: LLMServiceStatus, *, now: str
) -> LLMServiceStatus:
    """Tell the status of a service whose spec is sound."""
    existing = [one for one in observed.slices if one.exists]
    current = facts.revision if _is_complete(facts, observed) else previous.current_revision
    answers: tuple[Answer, ...] = (
        (ConditionType.ACCEPTED, "True", "Accepted", "the spec is sound"),
        *_answers(facts, observed, is_rolling=current not in ("", facts.revision)),
    )
    return LLMServiceStatus(
        observed_generation=facts.generation,
        replicas=len(existing),
        ready_replicas=sum(one.is_ready for one in existing),
        updated_replicas=sum(one.is_updated(facts.revision) for one in existing),
        selector=selector_text(leader_selector(facts.name)),
        model_name=facts.model_name,
        url=facts.url,
        current_revision=current,
        update_revision=facts.revision,
        slice=_slice_info(facts.hardware),
        slices=tuple(_slice_status(one) for one in observed.slices),
        conditions=_conditions(answers, facts.generation, previous, now=now),
    )


def refused_status(
    problem: Problem,
    generation: int,
    observed: Observed,
    previous: LLMServiceStatus,
    *,
    now: str,
) -> LLMServiceStatus:
    """Tell the status of a service whose spec cannot be served.

    What serves goes on serving as the last sound spec had it, and is told truthfully.
    """
    existing = [one for one in observed.slices if one.exists]
    ready = sum(one.is_ready for one in existing)
    running = f"; {ready} slices go on as they are" if ready else ""
    answers: tuple[Answer, ...] = (
        (ConditionType.ACCEPTED, "False", problem.reason, problem.message),
        (ConditionType.PROGRESSING, "False", problem.reason, "waits for a sound spec"),
        (ConditionType.READY, "False", problem.reason, f"the spec cannot be served{running}"),
        (ConditionType.DEGRADED, "True", problem.reason, problem.message),
    )
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "replicas": len(existing),
            "ready_replicas": ready,
            "slices": tuple(_slice_status(one) for one in observed.slices),
            "conditions": _conditions(answers, generation, previous, now=now),
        }
    )


def to_manifest(status: LLMServiceStatus) -> dict[str, Any]:
    """Write a status as the API server takes it."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


# --- conditions


def _answers(facts: Facts, observed: Observed, *, is_rolling: bool) -> tuple[Answer, ...]:
    wanted = [observed.slice(index) for index in range(facts.replicas)]
    ready = sum(one.is_ready for one in wanted)
    worst = _worst(wanted)
    return (
        _progressing(facts, observed, worst, is_rolling=is_rolling),
        _ready(facts, ready, worst, is_rolling=is_rolling),
        _degraded(facts, worst),
    )


def _is_complete(facts: Facts, observed: Observed) -> bool:
    """Tell whether every wanted slice serves what the spec asks for."""
    wanted = [observed.slice(index) for index in range(facts.replicas)]
    return all(one.is_ready and one.is_updated(facts.revision) for one in wanted)


def _worst(wanted: list[ObservedSlice]) -> PodState | None:
    """Return the state of the slice that is worst off; None when all serve."""
    order = list(PodReason)
    states = [one.worst for one in wanted if not one.is_ready]
    return min(states, key=lambda state: order.index(state.reason), default=None)


def _progressing(
    facts: Facts, observed: Observed, worst: PodState | None, *, is_rolling: bool
) -> Answer:
    kind = ConditionType.PROGRESSING
    wanted = [one for one in observed.slices if one.index < facts.replicas and one.exists]
    updated = sum(one.is_updated(facts.revision) for one in wanted)
    surplus = [one for one in observed.slices if one.index >= facts.replicas]
    count = f"{updated} of {facts.replicas} slices updated"
    if facts.failure:
        return (kind, "False", facts.failure.reason, facts.failure.message)
    if facts.is_paused and updated < len(wanted):
        return (kind, "False", "Paused", f"{count}; unset spec.paused to go on")
    if worst and worst.reason in FAILING:
        return (kind, "False", worst.reason, f"{count}; {worst.message}")
    if is_rolling:
        return (kind, "True", "RollingOut", f"{count}; {worst.message}" if worst else count)
    if worst:
        return (kind, "True", worst.reason, worst.message)
    if surplus:
        return (kind, "True", "ScalingDown", f"{len(surplus)} surplus slices are ending")
    return (kind, "False", "Complete", f"{facts.replicas} of {facts.replicas} slices as asked")


def _ready(facts: Facts, ready: int, worst: PodState | None, *, is_rolling: bool) -> Answer:
    kind = ConditionType.READY
    if facts.replicas == 0:
        return (kind, "False", "ScaledToZero", "spec.replicas is 0; set it to 1 or more to serve")
    count = f"{ready} of {facts.replicas} slices ready"
    if worst is None:
        return (kind, "True", "Serving", f"{count}; {facts.url}")
    if facts.failure:
        return (kind, "False", facts.failure.reason, f"{count}; {facts.failure.message}")
    is_ordinary = worst.reason not in FAILING and is_rolling
    reason = "RollingOut" if is_ordinary else worst.reason
    return (kind, "False", reason, f"{count}; {worst.message}")


def _degraded(facts: Facts, worst: PodState | None) -> Answer:
    kind = ConditionType.DEGRADED
    if facts.failure:
        return (kind, "True", facts.failure.reason, facts.failure.message)
    if worst and (worst.reason in FAILING or worst.reason is PodReason.NOT_READY):
        return (kind, "True", worst.reason, worst.message)
    return (kind, "False", "AsExpected", "nothing is broken")


def _conditions(
    answers: Iterable[Answer], generation: int, previous: LLMServiceStatus, *, now: str
) -> tuple[Condition, ...]:
    """Make conditions of the answers; the time of an answer that stayed the same stays too."""
    before = {one.type: one for one in previous.conditions}
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=(
                before[kind].last_transition_time
                if kind in before and before[kind].status == status
                else now
            ),
            observed_generation=generation,
        )
        for kind, status, reason, message in answers
    )


# --- slices


def _slice_status(one: ObservedSlice) -> SliceStatus:
    return SliceStatus(
        index=one.index,
        phase=_phase(one),
        reason=PodReason.READY if one.is_ready else one.worst.reason,
        revision=one.revision,
        ready_hosts=one.ready_hosts,
        restarts=sum(pod.restarts for pod in one.pods),
    )


def _phase(one: ObservedSlice) -> SlicePhase:
    if one.is_ready:
        return SlicePhase.READY
    reason = one.worst.reason
    if not one.exists or reason is PodReason.DRAINING:
        return SlicePhase.DRAINING
    if reason in FAILING:
        return SlicePhase.FAILED
    is_up = reason in STARTING or reason in (PodReason.NOT_READY, PodReason.READY)
    return SlicePhase.STARTING if is_up else SlicePhase.PENDING


def _slice_info(hardware: Slice) -> SliceInfo:
    return SliceInfo(
        summary=hardware.summary,
        accelerator=hardware.accelerator_type,
        topology=hardware.topology,
        chips=hardware.chips,
        hosts=hardware.hosts,
        chips_per_host=hardware.chips_per_host,
    )
