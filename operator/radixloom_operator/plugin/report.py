"""An LLMService's status as a page for people. Pure."""

from collections.abc import Iterator
from typing import Any

from radixloom_operator.api.status_types import (
    Condition,
    ConditionType,
    LLMServiceStatus,
    SliceStatus,
)

_BAD_WHEN_TRUE = {ConditionType.PROGRESSING, ConditionType.DEGRADED, ConditionType.STALLED}
"""All other conditions are bad when they are false; one that is unknown says nothing yet."""
_WIDTH = 14


def report(manifest: dict[str, Any]) -> str:
    """Tell how the service in `manifest` is: in a line, then what is wrong, then each slice."""
    status = LLMServiceStatus.model_validate(manifest.get("status") or {})
    metadata, spec = manifest["metadata"], manifest["spec"]
    wanted = spec.get("replicas", 1)
    lines = [
        f"{metadata['namespace']}/{metadata['name']}: {_headline(status)}",
        _row("model", status.model_name or spec["model"]["uri"]),
        _row("slices", f"{status.ready_replicas} of {wanted} ready, {_hardware(status)}"),
        *_revision(status),
        *_load(status),
        *_troubles(status, metadata.get("generation", 0)),
        *(_slice(one) for one in status.slices),
    ]
    return "\n".join(lines)


def _headline(status: LLMServiceStatus) -> str:
    ready = _condition(status, ConditionType.READY)
    if ready is None:
        return "no operator has looked at it yet"
    serving = _condition(status, ConditionType.SERVING)
    answers = serving is not None and serving.status == "True"
    if ready.status == "True":
        return f"ready at {status.url}"
    return f"not ready ({ready.reason}), " + ("clients are answered" if answers else "no answers")


def _hardware(status: LLMServiceStatus) -> str:
    return f"each {status.slice.summary}" if status.slice else "hardware not known yet"


def _revision(status: LLMServiceStatus) -> Iterator[str]:
    if not status.update_revision:
        return
    if status.current_revision == status.update_revision:
        yield _row("revision", status.current_revision)
        return
    before = status.current_revision or "nothing"
    text = f"{before} -> {status.update_revision}, {status.updated_replicas} slices have it"
    yield _row("revision", text)


def _load(status: LLMServiceStatus) -> Iterator[str]:
    told = status.autoscaling
    if told is None:
        return
    value = "unknown" if told.value is None else f"{told.value} a slice"
    yield _row("load", f"{told.metric} {value}; {told.reason}, {told.desired_replicas} wanted")


def _troubles(status: LLMServiceStatus, generation: int) -> Iterator[str]:
    """Tell each condition that is not as it should be, once for each message."""
    told: set[str] = set()
    for one in status.conditions:
        bad = "True" if one.type in _BAD_WHEN_TRUE else "False"
        if one.status != bad or one.message in told:
            continue
        told.add(one.message)
        yield _row(one.type, f"{one.reason}: {one.message}")
    if status.observed_generation < generation:
        yield _row("stale", "the spec is newer than this status; is an operator running?")


def _slice(one: SliceStatus) -> str:
    parts = [one.phase.value if one.reason == one.phase else f"{one.phase} ({one.reason})"]
    parts.append(f"revision {one.revision or '-'}")
    if one.startup is not None and one.startup.total_seconds is not None:
        parts.append(f"started in {one.startup.total_seconds:g} s")
    if one.restarts:
        last = one.last_restart
        cause = f", last {last.reason} at {last.time}" if last else ""
        parts.append(f"{one.restarts} restarts{cause}")
    return _row(f"slice {one.index}", ", ".join(parts))


def _row(name: str, text: str) -> str:
    return f"  {name:<{_WIDTH}} {text}"


def _condition(status: LLMServiceStatus, kind: ConditionType) -> Condition | None:
    return next((one for one in status.conditions if one.type == kind), None)
