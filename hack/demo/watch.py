"""Follow one LLMService until it is ready, telling each change as it happens."""

import json
import time
from collections.abc import Callable
from typing import Any

from hack.cluster.console import elapsed
from hack.cluster.errors import ClusterError
from hack.demo.kubernetes import Deadline, Kubernetes
from hack.demo.release import operator_story

_PERIOD_SECONDS = 0.7
_LOG_LINES = 60
SERVICE_LABEL = "serving.radixloom.dev/service"
_CRASH_LOOP = "CrashLoopBackOff"
# Two more starts; a container that fails as often does not mend itself.
_CRASH_LOOP_SECONDS = 60.0

Facts = dict[str, str]
"""What is known of a service: `condition Ready` → `False SlicesPending: ...`."""


def facts(service: dict[str, Any]) -> Facts:
    """Read out of an LLMService what a waiting person wants to know.

    Not Progressing, whose message is that of Ready, and Degraded only where it is so.

    >>> facts({"status": {"slices": [{"index": 0, "phase": "Starting", "readyHosts": 0}]}})
    {'slice 0': 'Starting'}
    """
    status = service.get("status", {})
    found: Facts = {}
    for entry in status.get("slices", ()):
        found[f"slice {entry['index']}"] = str(entry.get("phase", "Unknown"))
    for condition in status.get("conditions", ()):
        kind, is_true = condition["type"], condition["status"] == "True"
        if kind == "Progressing" or (kind == "Degraded" and not is_true):
            continue
        said = " ".join((condition["reason"], condition.get("message", ""))).strip()
        found[kind] = f"{condition['status']}, {said}"
    return found


def start_progress(cluster: Kubernetes, name: str, namespace: str) -> Facts:
    """Return how far each starting engine is, as its last log line has it."""
    selector = f"--selector={SERVICE_LABEL}={name}"
    try:
        logs = cluster.kubectl("logs", selector, f"--namespace={namespace}", "--tail=1", "--prefix")
    except ClusterError:
        return {}  # no pod yet, or its container waits
    return dict(step for line in logs.splitlines() if (step := progress_step(line)))


def progress_step(line: str) -> tuple[str, str] | None:
    """Read one prefixed log line.

    >>> progress_step('[pod/a-s0-0/engine] {"event": "server.starting", "phase": "compile",'
    ...               ' "done": "3 of 10 buckets"}')
    ('a-s0-0', 'compile 3 of 10 buckets')
    """
    prefix, _, text = line.partition(" ")
    try:
        entry = json.loads(text)
        if entry["event"] != "server.starting":
            return None
        return prefix.split("/")[1], f"{entry['phase']} {entry['done']}"
    except (ValueError, KeyError, TypeError, IndexError):
        return None  # another kind of line


def is_ready(service: dict[str, Any]) -> bool:
    """Say whether the status is that of the present spec, and Ready."""
    status = service.get("status", {})
    if status.get("observedGeneration") != service["metadata"]["generation"]:
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


def is_crash_looping(service: dict[str, Any]) -> bool:
    """Say whether a container ends again and again."""
    conditions = service.get("status", {}).get("conditions", ())
    return any(
        one["type"] == "Degraded" and one["status"] == "True" and one["reason"] == _CRASH_LOOP
        for one in conditions
    )


def wait_ready(
    cluster: Kubernetes,
    name: str,
    namespace: str,
    *,
    timeout_seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Wait until the service is Ready.

    Raises:
        ClusterError: it is not in time, or crashes all the time; the message tells the story.
    """
    deadline = Deadline.after(timeout_seconds)
    crash_limit = Deadline.after(_CRASH_LOOP_SECONDS)
    known: Facts = {}
    while True:
        service = cluster.get("llmservice", name, f"--namespace={namespace}") or {}
        found = facts(service) | start_progress(cluster, name, namespace)
        for subject, value in found.items():
            if known.get(subject) != value:
                tell(f"{elapsed(deadline.elapsed()):>6}  {subject}: {value}")
        known = found
        if service and is_ready(service):
            return
        if not is_crash_looping(service):
            crash_limit = Deadline.after(_CRASH_LOOP_SECONDS)
        if deadline.passed() or crash_limit.passed():
            raise ClusterError(
                f"LLMService {namespace}/{name} is not Ready after {deadline.elapsed():.0f} s\n"
                f"{story(cluster, name, namespace)}"
            )
        time.sleep(_PERIOD_SECONDS)


def story(cluster: Kubernetes, name: str, namespace: str) -> str:
    """Return what the service, its pods, events and logs say."""
    in_namespace = f"--namespace={namespace}"
    selector = f"--selector={SERVICE_LABEL}={name}"
    parts: list[str] = []
    for argv in (
        ("describe", "llmservice", name, in_namespace),
        ("get", "statefulsets,pods,services,persistentvolumeclaims", in_namespace, "--output=wide"),
        ("get", "events", in_namespace, "--sort-by=.lastTimestamp"),
        ("logs", selector, in_namespace, f"--tail={_LOG_LINES}", "--prefix"),
        ("logs", selector, in_namespace, f"--tail={_LOG_LINES}", "--prefix", "--previous"),
    ):
        try:
            said = cluster.kubectl(*argv)
        except ClusterError as error:
            said = str(error)
        parts.append(f"$ kubectl {' '.join(argv)}\n{said.strip()}")
    return "\n\n".join([*parts, operator_story(cluster)])
