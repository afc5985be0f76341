"""What one pod is doing, in one word that stays true while it does it. Pure.

The kubelet's words alternate (a crashing container is Running, Terminated, Waiting, Running …); a
status that repeats them flaps. So what is told here is the situation, not the moment.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from radixloom_runtime import capacity

Pod = dict[str, Any]


class PodReason(StrEnum):
    """Situations of a pod, worst first: a slice is told by its worst pod.

    The first is a slice's own: the operator restarts it no more (restarts.py).
    """

    BUDGET = "RestartBudgetExhausted"
    FAILED = "PodFailed"
    CONTAINER_CONFIG = "ContainerConfigError"
    IMAGE = "ImagePullBackOff"
    NO_HBM = capacity.REASON
    CRASH = "CrashLoopBackOff"
    FETCH_FAILED = "FetchFailed"
    NO_TPU = "InsufficientTPU"
    UNSCHEDULABLE = "Unschedulable"
    QUEUED = "Queued"
    DRAINING = "Draining"
    PENDING = "Pending"
    FETCHING = "FetchingModel"
    RESTARTING = "Restarting"
    LOADING = "LoadingModel"
    NOT_READY = "NotReady"
    READY = "Ready"


FAILING = frozenset(
    {
        PodReason.BUDGET,
        PodReason.FAILED,
        PodReason.CONTAINER_CONFIG,
        PodReason.IMAGE,
        PodReason.NO_HBM,
        PodReason.CRASH,
        PodReason.FETCH_FAILED,
    }
)
"""Situations that do not mend themselves."""

STARTING = frozenset({PodReason.FETCHING, PodReason.RESTARTING, PodReason.LOADING})

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CRASHES = 2
"""Restarts after which a container that is not up is called crashing, whatever it does now."""
_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod's situation."""

    reason: PodReason
    message: str


def pod_state(pod: Pod) -> PodState:
    """Tell what `pod` is doing."""
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return PodState(PodReason.DRAINING, f"pod {name} is ending")
    if status.get("phase") in ("Failed", "Succeeded"):
        return PodState(PodReason.FAILED, f"pod {name} ended: {_failure(status)}")
    return (
        _scheduling(name, status)
        or _first(name, status.get("initContainerStatuses"), is_init=True)
        or _first(name, status.get("containerStatuses"), is_init=False)
        or PodState(
            PodReason.PENDING,
            f"pod {name} is waiting for its volumes and network{_secrets(pod)}",
        )
    )


def _secrets(pod: Pod) -> str:
    """Name the Secrets that have to be there; whether they are, no rights of ours tell."""
    named = [
        f"; Secret {secret['secretName']} must have the key {item['key']}"
        for volume in (pod.get("spec") or {}).get("volumes") or []
        if (secret := volume.get("secret"))
        for item in secret.get("items") or []
    ]
    return "".join(named)


def restarts(pod: Pod) -> int:
    """Count the restarts of the pod's containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(status.get("restartCount", 0) for status in statuses)


def is_scheduled(pod: Pod) -> bool:
    """Tell whether the pod has a node."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return bool((pod.get("spec") or {}).get("nodeName")) or any(
        condition["type"] == "PodScheduled" and condition["status"] == "True"
        for condition in conditions
    )


@dataclass(frozen=True, slots=True)
class PodTimes:
    """When a pod came how far; empty where it did not yet."""

    created: str
    scheduled: str
    started: str
    """Its engine, the last time."""
    ready: str


def pod_times(pod: Pod) -> PodTimes:
    """Tell when the pod came how far."""
    status = pod.get("status") or {}
    since = {
        one["type"]: one.get("lastTransitionTime") or ""
        for one in status.get("conditions") or []
        if one["status"] == "True"
    }
    started = [
        running.get("startedAt") or ""
        for one in status.get("containerStatuses") or []
        if (running := (one.get("state") or {}).get("running"))
    ]
    return PodTimes(
        created=pod["metadata"].get("creationTimestamp") or "",
        scheduled=since.get("PodScheduled", ""),
        started=started[0] if started else "",
        ready=since.get("Ready", ""),
    )


def http_address(pod: Pod) -> str:
    """Return where the pod's engine listens, as host:port; empty where that is not known yet."""
    host = (pod.get("status") or {}).get("podIP") or ""
    ports = [
        port["containerPort"]
        for container in (pod.get("spec") or {}).get("containers") or []
        for port in container.get("ports") or []
        if port.get("name") == "http"
    ]
    if not host or not ports:
        return ""
    return f"[{host}]:{ports[0]}" if ":" in host else f"{host}:{ports[0]}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended."""

    code: int | None
    reason: str
    """The kubelet's word, such as OOMKilled; `EngineEnded` where it has none."""


def last_ending(pod: Pod) -> Ending | None:
    """Tell how the pod's engine last ended; None when it never did."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        for key in ("state", "lastState"):
            ended = (status.get(key) or {}).get("terminated")
            if ended:
                reason = ended.get("reason") or "Error"
                return Ending(ended.get("exitCode"), "EngineEnded" if reason == "Error" else reason)
    return None


def is_ready(pod: Pod) -> bool:
    """Tell whether the pod is ready and not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return not pod["metadata"].get("deletionTimestamp") and any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def _failure(status: dict[str, Any]) -> str:
    text = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
    return _shorten(text) or "no reason given"


def _scheduling(name: str, status: dict[str, Any]) -> PodState | None:
    """Tell why a pod has no node; None once it has."""
    for condition in status.get("conditions") or []:
        if condition["type"] != "PodScheduled" or condition["status"] != "False":
            continue
        if condition.get("reason") == "SchedulingGated":
            return PodState(PodReason.QUEUED, f"pod {name} is held back until its queue admits it")
        # the scheduler adds what it thought of preemption, differently each time
        message = str(condition.get("message", "")).split(". ")[0].rstrip(".")
        is_tpu = "Insufficient google.com/tpu" in message
        reason = PodReason.NO_TPU if is_tpu else PodReason.UNSCHEDULABLE
        return PodState(reason, f"pod {name} finds no node: {_shorten(message)}")
    return None


def _first(name: str, statuses: list[dict[str, Any]] | None, *, is_init: bool) -> PodState | None:
    """Tell the first container that has something to tell; None where all are done with."""
    for status in statuses or []:
        found = _container(name, status, is_init=is_init)
        if found is not None:
            return found
    return None


def _container(name: str, status: dict[str, Any], *, is_init: bool) -> PodState | None:
    state = status.get("state") or {}
    return (
        _waiting(name, status, state.get("waiting"))
        or (None if is_init else _too_large(name, status))
        or _crashing(name, status, is_init=is_init)
        or (_init(name, state) if is_init else _running(name, status, state))
    )


def _waiting(name: str, status: dict[str, Any], waiting: dict[str, Any] | None) -> PodState | None:
    """Tell what keeps a container from being created."""
    reason = (waiting or {}).get("reason", "")
    detail = _shorten(str((waiting or {}).get("message", "")))
    if reason in _IMAGE_REASONS:
        # "Back-off pulling image X: ErrImagePull: why" and "why" take turns
        why = re.sub(r"^Back-off pulling image \S+?(: ErrImagePull)?(: |$)", "", detail)
        suffix = f": {why}" if why else ""
        return PodState(
            PodReason.IMAGE, f"pod {name} cannot have the image {status.get('image')}{suffix}"
        )
    if reason in _CONFIG_REASONS:
        return PodState(
            PodReason.CONTAINER_CONFIG, f"pod {name} cannot start its container: {detail}"
        )
    return None


def _too_large(name: str, status: dict[str, Any]) -> PodState | None:
    """Tell an engine that ended because its model does not fit; another try changes nothing."""
    if status.get("started"):
        return None
    ended = [(status.get(key) or {}).get("terminated") or {} for key in ("state", "lastState")]
    for terminated in ended:
        problem = capacity.told_in(str(terminated.get("message") or ""))
        if problem is not None:
            return PodState(PodReason.NO_HBM, f"pod {name}: {_shorten(problem)}")
    return None


def _crashing(name: str, status: dict[str, Any], *, is_init: bool) -> PodState | None:
    """Tell a container that does not stay up, between its attempts and in them."""
    state = status.get("state") or {}
    count = status.get("restartCount", 0)
    terminated = state.get("terminated") or {}
    if is_init and terminated.get("exitCode") == 0:
        return None
    is_down = bool(terminated) or (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    is_up = not is_init and bool(status.get("started"))
    if not (is_down and count >= 1) and (is_up or count < _CRASHES):
        return None
    last = terminated or (status.get("lastState") or {}).get("terminated") or {}
    reason = PodReason.FETCH_FAILED if is_init else PodReason.CRASH
    return PodState(reason, f"pod {name}, container {status['name']}: {_ending(last)}")


def _ending(terminated: dict[str, Any]) -> str:
    """Say how a container ended, in words that stay the same from one crash to the next."""
    code = terminated.get("exitCode", "unknown")
    reason = terminated.get("reason") or "Error"
    message = _last_line(str(terminated.get("message") or ""))
    kind = f"ended with code {code}" + (f" ({reason})" if reason != "Error" else "")
    return f"{kind}: {message}" if message else f"{kind}; see its log"


def _init(name: str, state: dict[str, Any]) -> PodState | None:
    if "running" in state or ("terminated" in state and state["terminated"].get("exitCode") != 0):
        return PodState(PodReason.FETCHING, f"pod {name} is fetching the model")
    return None


def _running(name: str, status: dict[str, Any], state: dict[str, Any]) -> PodState | None:
    if "terminated" in state:
        return PodState(
            PodReason.RESTARTING, f"pod {name} restarts: {_ending(state['terminated'])}"
        )
    if "running" not in state:
        return None
    if not status.get("started"):
        return PodState(PodReason.LOADING, f"pod {name} is loading and compiling the model")
    if not status.get("ready"):
        return PodState(PodReason.NOT_READY, f"pod {name} runs, but no step of its engine succeeds")
    return PodState(PodReason.READY, f"pod {name} is ready")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _shorten(lines[-1]) if lines else ""


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MAX_DETAIL else f"{flat[: _MAX_DETAIL - 1]}…"
