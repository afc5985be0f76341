"""The questions that a status answers, each with its cause. Pure.

    Accepted            the spec can be served
    CapacityAvailable   every pod has a node: false is no fault of the model's or the image's
    Progressing         something is under way: starting, rolling out, waiting for a node
    Serving             at least one slice answers clients
    Ready               every wanted slice answers, in the revision that the spec asks for
    Degraded            something is broken and does not mend itself
    Stalled             it goes on no further without help
    AutoscalingActive   replicas follow the load, where they are to
    RouterAvailable     requests go through routers, where they are to
    InferencePoolAccepted  a Gateway sends requests to the leaders, where one is to

Reasons are those of the worst slice, so that `kubectl get llmsvc` tells loading from crashing and
no TPU capacity from a wrong image.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from radixloom_operator.api.autoscaling import AutoscalingStatus
from radixloom_operator.api.status_types import (
    Condition,
    ConditionType,
    LLMServiceStatus,
    RolloutStatus,
)
from radixloom_operator.api.validation import Problem
from radixloom_operator.gateways import PoolState
from radixloom_operator.naming import router_name
from radixloom_operator.observed import Observed, ObservedSlice
from radixloom_operator.pod_state import FAILING, PodReason, PodState
from radixloom_runtime.topology import Slice

DEADLINE = "ProgressDeadlineExceeded"
ROLLED_BACK = "RolledBack"
_INACTIVE = {
    "LoadUnknown": "a slice that serves does not tell its load, or none serves; fewer slices are"
    " not made of it",
    "ScaledToZero": "spec.replicas is 0; set it to 1 or more to have them follow the load",
    "RoutersSilent": "no router tells whether a request waits, so that none brings a slice back;"
    " see condition RouterAvailable, or set spec.replicas to 1",
}
_ASLEEP = "nobody asked for a while; the next request waits in a router until a slice is ready"

Answer = tuple[ConditionType, Literal["True", "False", "Unknown"], str, str]
"""Type, status, reason, message of a condition."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a status tells of, beside what was observed."""

    name: str
    generation: int
    replicas: int
    """Wanted slices."""
    revision: str
    """What the slices are being made of."""
    wanted_revision: str
    """What the spec asks for: another one after a rollback."""
    is_paused: bool
    model_name: str
    url: str
    hardware: Slice
    failure: Problem | None = None
    """What the API server refused in this turn."""
    rollout: RolloutStatus | None = None
    """The change under way."""
    autoscaling: AutoscalingStatus | None = None
    """Where replicas are to follow the load."""
    has_routers: bool = False
    """Whether requests are to go through routers."""
    pool: PoolState | None = None
    """Where a Gateway is to choose the leaders."""

    @property
    def is_asleep(self) -> bool:
        """Whether the next request brings a slice."""
        return self.autoscaling is not None and self.autoscaling.reason in ("Idle", "RequestsHeld")

    @property
    def is_rolled_back(self) -> bool:
        """Whether the last revision that served is made instead of the wanted one."""
        return self.revision != self.wanted_revision

    def failed_by(self, cause: str) -> bool:
        """Tell whether the change under way has failed by `cause`."""
        return self.rollout is not None and self.rollout.failure == cause


def accepted(
    facts: Facts,
    observed: Observed,
    previous: LLMServiceStatus,
    *,
    is_rolling: bool,
    now: str,
) -> tuple[Condition, ...]:
    """Answer for a service whose spec is sound."""
    wanted = [observed.slice(index) for index in range(facts.replicas)]
    ready = sum(one.is_ready for one in wanted)
    updated = sum(one.is_ready and one.is_updated(facts.wanted_revision) for one in wanted)
    worst = _worst(wanted)
    answers: tuple[Answer, ...] = (
        (ConditionType.ACCEPTED, "True", "Accepted", "the spec is sound"),
        _capacity(wanted, previous),
        _progressing(facts, observed, worst, is_rolling=is_rolling),
        _serving(facts, observed),
        _ready(facts, ready, updated, worst, is_rolling=is_rolling),
        _degraded(facts, worst),
        _stalled(facts, worst),
        *_autoscaling(facts.autoscaling),
        *_routing(facts, observed),
        *_pool(facts.pool),
    )
    return _conditions(answers, facts.generation, previous, now=now)


def refused(
    problem: Problem,
    generation: int,
    previous: LLMServiceStatus,
    *,
    num_ready: int,
    now: str,
) -> tuple[Condition, ...]:
    """Answer for a service whose spec cannot be served."""
    running = f"; {num_ready} slices go on as they are" if num_ready else ""
    answers: tuple[Answer, ...] = (
        (ConditionType.ACCEPTED, "False", problem.reason, problem.message),
        (ConditionType.CAPACITY_AVAILABLE, "Unknown", problem.reason, "no pods are asked for"),
        (ConditionType.PROGRESSING, "False", problem.reason, "waits for a sound spec"),
        _goes_on(num_ready, problem.reason),
        (ConditionType.READY, "False", problem.reason, f"the spec cannot be served{running}"),
        (ConditionType.DEGRADED, "True", problem.reason, problem.message),
        (ConditionType.STALLED, "True", problem.reason, "waits for a sound spec"),
        # by it the turn after knows that there is a pool, and removes it where it is wanted no more
        *(
            (ConditionType.POOL, one.status, one.reason, one.message)
            for one in previous.conditions
            if one.type == ConditionType.POOL
        ),
    )
    return _conditions(answers, generation, previous, now=now)


def is_complete(facts: Facts, observed: Observed) -> bool:
    """Tell whether every wanted slice serves what the spec asks for."""
    wanted = [observed.slice(index) for index in range(facts.replicas)]
    return all(one.is_ready and one.is_updated(facts.revision) for one in wanted)


def _worst(wanted: list[ObservedSlice]) -> PodState | None:
    """Return the state of the slice that is worst off; None when all serve."""
    order = list(PodReason)
    states = [one.worst for one in wanted if not one.is_ready]
    return min(states, key=lambda state: order.index(state.reason), default=None)


def _capacity(wanted: list[ObservedSlice], previous: LLMServiceStatus) -> Answer:
    """Say whether every pod has a node; while the scheduler has yet to say, what was said last."""
    kind = ConditionType.CAPACITY_AVAILABLE
    pods = [pod for one in wanted for pod in one.present]
    for reason in (PodReason.NO_TPU, PodReason.UNSCHEDULABLE, PodReason.QUEUED):
        for pod in pods:
            if pod.state.reason is reason:
                return (kind, "False", reason, pod.state.message)
    hosts = sum(max(one.hosts, 1) for one in wanted)
    placed = sum(pod.is_scheduled for pod in pods)
    if placed >= hosts:
        return (kind, "True", "Scheduled", f"{hosts} of {hosts} pods have a node")
    before = next((one for one in previous.conditions if one.type == kind), None)
    if before is not None and before.status == "True":
        return (kind, "True", before.reason, before.message)
    return (kind, "Unknown", PodReason.PENDING, "pods are being created and placed")


def _progressing(
    facts: Facts, observed: Observed, worst: PodState | None, *, is_rolling: bool
) -> Answer:
    kind = ConditionType.PROGRESSING
    wanted = [one for one in observed.slices if one.index < facts.replicas and one.exists]
    updated = sum(one.is_updated(facts.wanted_revision) for one in wanted)
    count = f"{updated} of {facts.replicas} slices updated"
    held = _held(facts, count, worst, is_outdated=updated < len(wanted))
    if held is not None:
        return (kind, "False", *held)
    if is_rolling:
        return (kind, "True", "RollingOut", f"{count}; {worst.message}" if worst else count)
    if worst:
        return (kind, "True", worst.reason, worst.message)
    surplus = [one for one in observed.slices if one.index >= facts.replicas]
    if surplus:
        return (kind, "True", "ScalingDown", f"{len(surplus)} surplus slices are ending")
    return (kind, "False", "Complete", f"{facts.replicas} of {facts.replicas} slices as asked")


def _held(
    facts: Facts, count: str, worst: PodState | None, *, is_outdated: bool
) -> tuple[str, str] | None:
    """Say what keeps things from going on, reason and message; None when nothing does."""
    rest = f"; {worst.message}" if worst else ""
    if facts.failure:
        return (facts.failure.reason, facts.failure.message)
    if facts.is_rolled_back:
        return (ROLLED_BACK, _failure(facts))
    if facts.failed_by(DEADLINE):
        return (DEADLINE, f"{count}; {_failure(facts)}{rest}")
    if facts.is_paused and is_outdated:
        return ("Paused", f"{count}; unset spec.paused to go on")
    if worst and worst.reason in FAILING:
        return (worst.reason, f"{count}{rest}")
    return None


def _serving(facts: Facts, observed: Observed) -> Answer:
    serving = sum(one.is_ready for one in observed.slices)
    if serving:
        return _goes_on(serving, "")
    reason = "ScaledToZero" if facts.replicas == 0 else "NoSliceReady"
    return (ConditionType.SERVING, "False", reason, "no slice answers")


def _goes_on(num_ready: int, reason: str) -> Answer:
    """Say whether clients are answered, whatever the spec asks for by now."""
    if num_ready:
        return (ConditionType.SERVING, "True", "Serving", "clients are answered")
    return (ConditionType.SERVING, "False", reason, "no slice answers")


def _ready(
    facts: Facts, ready: int, updated: int, worst: PodState | None, *, is_rolling: bool
) -> Answer:
    kind = ConditionType.READY
    if facts.replicas == 0:
        by_hand = "spec.replicas is 0; set it to 1 or more to serve"
        return (kind, "False", "ScaledToZero", _ASLEEP if facts.is_asleep else by_hand)
    count = f"{ready} of {facts.replicas} slices ready"
    if worst is None and updated == facts.replicas:
        return (kind, "True", "Serving", f"{count}; {facts.url}")
    if facts.failure:
        return (kind, "False", facts.failure.reason, f"{count}; {facts.failure.message}")
    if facts.is_rolled_back:
        return (kind, "False", ROLLED_BACK, f"{count}; {_failure(facts)}")
    if worst is None or (worst.reason not in FAILING and is_rolling):
        reason = "Paused" if facts.is_paused else "RollingOut"
        rest = f"; {worst.message}" if worst else ""
        return (kind, "False", reason, f"{count}, {updated} of them updated{rest}")
    return (kind, "False", worst.reason, f"{count}; {worst.message}")


def _degraded(facts: Facts, worst: PodState | None) -> Answer:
    kind = ConditionType.DEGRADED
    if facts.failure:
        return (kind, "True", facts.failure.reason, facts.failure.message)
    if facts.failed_by(DEADLINE) and not facts.is_rolled_back:
        return (kind, "True", DEADLINE, _failure(facts))
    if worst and (worst.reason in FAILING or worst.reason is PodReason.NOT_READY):
        return (kind, "True", worst.reason, worst.message)
    return (kind, "False", "AsExpected", "nothing is broken")


def _stalled(facts: Facts, worst: PodState | None) -> Answer:
    kind = ConditionType.STALLED
    if facts.is_rolled_back:
        return (kind, "True", ROLLED_BACK, _failure(facts))
    if worst and worst.reason is PodReason.BUDGET:
        return (kind, "True", worst.reason, worst.message)
    if facts.rollout is not None and facts.rollout.failure is not None:
        return (kind, "True", facts.rollout.failure, _failure(facts))
    return (kind, "False", "AsExpected", "nothing waits for help")


def _autoscaling(told: AutoscalingStatus | None) -> Iterator[Answer]:
    """Say whether replicas follow the load; the reason stays the same while it goes up and down."""
    kind = ConditionType.AUTOSCALING
    if told is None:
        return
    if told.owner is not None:
        remedy = (
            "let it go, then set spec.replicas to another number, and they follow the load; or"
            " take spec.autoscaling away"
        )
        yield (kind, "False", told.reason, f"{told.owner} owns spec.replicas; {remedy}")
    elif told.reason in _INACTIVE:
        yield (kind, "False", told.reason, _INACTIVE[told.reason])
    else:
        yield (kind, "True", "Active", f"replicas follow {told.metric}")


def _routing(facts: Facts, observed: Observed) -> Iterator[Answer]:
    kind = ConditionType.ROUTING
    if facts.has_routers and observed.num_routers:
        yield (kind, "True", "Available", "requests go through routers")
    elif facts.has_routers:
        name = router_name(facts.name)
        yield (
            *(kind, "False", "NoRouterAvailable"),
            f"no pod of Deployment {name} is available; clients reach leaders directly meanwhile",
        )


def _pool(state: PoolState | None) -> Iterator[Answer]:
    if state is not None:
        yield (ConditionType.POOL, state.status, state.reason, state.message)


def _failure(facts: Facts) -> str:
    """Say what became of a change that failed."""
    why = "spent its restart budget"
    if facts.failed_by(DEADLINE):
        why = "got no further slice ready within rollout.progressDeadlineSeconds"
    text = f"revision {facts.wanted_revision} {why}"
    if facts.is_rolled_back:
        return f"{text}; revision {facts.revision} serves again, until the spec changes"
    return f"{text}; mend the spec, or set rollout.revision to one that served"


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
