"""The status of a service, worked out from what exists. Pure; the clock comes as an argument.

Counts and slices are told here, the answers to the questions in `conditions.py`.
"""

from dataclasses import replace
from typing import Any

from radixloom_operator.api.status_types import (
    LLMServiceStatus,
    SliceInfo,
    SlicePhase,
    SliceStartup,
    SliceStatus,
)
from radixloom_operator.api.validation import Problem
from radixloom_operator.conditions import Facts, accepted, is_complete, refused
from radixloom_operator.naming import leader_selector, selector_text
from radixloom_operator.observed import Observed, ObservedSlice
from radixloom_operator.pod_state import FAILING, STARTING, PodReason
from radixloom_runtime.topology import Slice


def accepted_status(
    facts: Facts,
    observed: Observed,
    previous: LLMServiceStatus,
    startups: dict[int, SliceStartup],
    *,
    now: str,
) -> LLMServiceStatus:
    """Tell the status of a service whose spec is sound."""
    existing = [one for one in observed.slices if one.exists]
    current = facts.revision if is_complete(facts, observed) else previous.current_revision
    rollout = None if current == facts.wanted_revision else facts.rollout
    facts = replace(facts, rollout=rollout)
    is_rolling = current not in ("", facts.revision)
    return LLMServiceStatus(
        observed_generation=facts.generation,
        replicas=len(existing),
        ready_replicas=sum(one.is_ready for one in existing),
        updated_replicas=sum(one.is_updated(facts.wanted_revision) for one in existing),
        selector=selector_text(leader_selector(facts.name)),
        model_name=facts.model_name,
        url=facts.url,
        current_revision=current,
        update_revision=facts.wanted_revision,
        rollout=rollout,
        autoscaling=facts.autoscaling,
        slice=_slice_info(facts.hardware),
        slices=tuple(_slice_status(one, startups.get(one.index)) for one in observed.slices),
        conditions=accepted(facts, observed, previous, is_rolling=is_rolling, now=now),
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
    known = {one.index: one.startup for one in previous.slices}
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "replicas": len(existing),
            "ready_replicas": ready,
            "slices": tuple(_slice_status(one, known.get(one.index)) for one in observed.slices),
            "conditions": refused(problem, generation, previous, num_ready=ready, now=now),
        }
    )


def to_manifest(status: LLMServiceStatus) -> dict[str, Any]:
    """Write a status as the API server takes it."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


# --- slices


def _slice_status(one: ObservedSlice, startup: SliceStartup | None) -> SliceStatus:
    return SliceStatus(
        index=one.index,
        phase=_phase(one),
        reason=PodReason.READY if one.is_ready else one.worst.reason,
        revision=one.revision,
        ready_hosts=one.ready_hosts,
        restarts=one.record.total,
        startup=startup,
        last_restart=one.record.restarts[-1] if one.record.restarts else None,
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
        devices=hardware.devices,
    )
