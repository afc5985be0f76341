"""What `kubectl describe` tells: events, each told once. Pure.

A chapter is either something that was done in this turn, or the difference between the status
before and after. The status is stored, so an operator that restarts does not tell it all again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from radixloom_operator.api.status_types import (
    Condition,
    ConditionType,
    LLMServiceStatus,
    SlicePhase,
    SliceStartup,
    SliceStatus,
)
from radixloom_operator.naming import API_VERSION, FIELD_MANAGER, KIND
from radixloom_operator.pod_state import PodReason

NAME_TAKEN = "NameTaken"
APPLY_REFUSED = "ApplyRefused"
REFUSALS = (NAME_TAKEN, APPLY_REFUSED)
"""Reasons of a failure to write an object."""

_MAX_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def transitions(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    """Tell what changed between two statuses, but for what `acceptance` tells."""
    known = {one.index: one for one in before.slices}
    for one in after.slices:
        yield from _slice(known.get(one.index), one, after)
    yield from _refusal(before, after)
    yield from _completion(before, after)
    yield from _failed_change(before, after)
    yield from _serving(before, after)
    yield from _autoscaling(before, after)


def acceptance(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    """Tell whether the spec was accepted or refused; the first chapter of a story."""
    was, now = _condition(before, "Accepted"), _condition(after, "Accepted")
    if now is None:
        return
    if now.status == "True" and (was is None or was.status != "True") and after.slice:
        yield Chapter(
            "Normal", "Accepted", f"serves {after.model_name} on slices of {after.slice.summary}"
        )
    if now.status == "False" and (was is None or was.message != now.message):
        yield Chapter("Warning", "Refused", f"{now.reason}: {now.message}")


def _slice(was: SliceStatus | None, now: SliceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    phase_before = was.phase if was else None
    is_given_up = now.reason == PodReason.BUDGET and (was is None or was.reason != now.reason)
    if now.phase == phase_before and not is_given_up:
        return
    if now.phase == SlicePhase.READY:
        yield Chapter("Normal", "SliceReady", f"slice {now.index} serves{_took(now.startup)}")
    elif now.phase == SlicePhase.FAILED:
        yield Chapter("Warning", now.reason, f"slice {now.index}: {_trouble(after)}")
    elif phase_before == SlicePhase.READY and now.phase != SlicePhase.DRAINING:
        yield Chapter("Warning", "SliceLost", f"slice {now.index} serves no more: {now.reason}")


def _took(startup: SliceStartup | None) -> str:
    """Say what a start took, as far as it is known."""
    if startup is None or startup.total_seconds is None:
        return ""
    parts = [
        f"{name} {seconds:g} s"
        for name, seconds in (
            ("weights", startup.weights_seconds),
            ("compiled steps", startup.compile_seconds),
        )
        if seconds is not None
    ]
    if startup.compile_cache_hit:
        parts.append("all from the compile cache")
    return f" after {startup.total_seconds:g} s" + (f" ({', '.join(parts)})" if parts else "")


def _refusal(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    was, now = _condition(before, "Degraded"), _condition(after, "Degraded")
    is_new = now is not None and (was is None or was.message != now.message)
    if now and is_new and now.reason in REFUSALS:
        yield Chapter("Warning", now.reason, now.message)


def _completion(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    if before.current_revision and before.current_revision != after.current_revision:
        yield Chapter(
            "Normal", "RolloutCompleted", f"every slice runs revision {after.current_revision}"
        )


def _failed_change(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    failure = after.rollout.failure if after.rollout else None
    if failure is None or (before.rollout and before.rollout.failure == failure):
        return
    stalled = _condition(after, "Stalled")
    if stalled is not None:
        yield Chapter("Warning", stalled.reason, stalled.message)


def _serving(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    was, now = _condition(before, "Ready"), _condition(after, "Ready")
    if now and now.status == "True" and (was is None or was.status != "True"):
        yield Chapter("Normal", "Serving", f"clients use {after.url}")


def _autoscaling(before: LLMServiceStatus, after: LLMServiceStatus) -> Iterator[Chapter]:
    was, now = _condition(before, "AutoscalingActive"), _condition(after, "AutoscalingActive")
    owned = after.autoscaling is not None and after.autoscaling.owner is not None
    if now and owned and (was is None or was.message != now.message):
        yield Chapter("Warning", now.reason, now.message)


def _trouble(after: LLMServiceStatus) -> str:
    degraded = _condition(after, "Degraded")
    return degraded.message if degraded else ""


def _condition(status: LLMServiceStatus, kind: str) -> Condition | None:
    return next((one for one in status.conditions if one.type == ConditionType(kind)), None)


def event_manifest(
    chapter: Chapter, service: dict[str, Any], *, now: str, unique: str
) -> dict[str, Any]:
    """Write an event about `service` as the API server takes it."""
    metadata = service["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{unique}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": chapter.type,
        "reason": chapter.reason,
        "message": chapter.message[:_MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
