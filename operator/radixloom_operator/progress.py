"""How a change to a new revision gets on: its deadline, and what is made when it has failed. Pure.

    changing ──one slice more is ready──> changing, the clock starts again
       │  └────every slice is ready─────> done: nothing is remembered
       └──no slice more for progressDeadlineSeconds, or a budget is spent──> failed
                                                                              └─ rollbackOnFailure:
                                                                     the last revision that served

What is remembered lies in the status. A status that is lost starts the clock anew.
"""

from datetime import datetime, timedelta

from radixloom_operator.api.status_types import LLMServiceStatus, RolloutStatus
from radixloom_operator.api.types import LLMServiceSpec
from radixloom_operator.conditions import DEADLINE
from radixloom_operator.desired.revision import Revision
from radixloom_operator.observed import Observed
from radixloom_operator.pod_state import PodReason
from radixloom_operator.times import parse_time, write_time


def track(
    spec: LLMServiceSpec,
    revision: str,
    observed: Observed,
    previous: LLMServiceStatus,
    now: datetime,
) -> RolloutStatus | None:
    """Follow the change to `revision`; None when there is none under way."""
    is_held = spec.paused or spec.replicas == 0
    if revision == previous.current_revision or is_held:
        return None
    wanted = [observed.slice(index) for index in range(spec.replicas)]
    updated = [one for one in wanted if one.is_updated(revision)]
    ready = sum(one.is_ready for one in updated)
    before = previous.rollout
    if before is None or before.revision != revision:
        return RolloutStatus(revision=revision, ready=ready, progress_time=write_time(now))
    if before.failure is not None:
        return before
    if any(one.worst.reason is PodReason.BUDGET for one in updated if not one.is_ready):
        return before.model_copy(update={"failure": PodReason.BUDGET.value})
    if ready > before.ready:
        return before.model_copy(update={"ready": ready, "progress_time": write_time(now)})
    if now >= _deadline(spec, before):
        return before.model_copy(update={"failure": DEADLINE})
    return before


def again_seconds(
    spec: LLMServiceSpec, rollout: RolloutStatus | None, now: datetime
) -> float | None:
    """Return when a change that goes on no further has failed."""
    if rollout is None or rollout.failure is not None:
        return None
    return max(1.0, (_deadline(spec, rollout) - now).total_seconds())


def choose(
    spec: LLMServiceSpec,
    wanted: Revision,
    history: tuple[Revision, ...],
    rollout: RolloutStatus | None,
    previous: LLMServiceStatus,
) -> Revision:
    """Return the revision to make: the wanted one, or the last that served."""
    has_failed = rollout is not None and rollout.failure is not None
    if not (has_failed and spec.rollout.rollback_on_failure):
        return wanted
    good = next((one for one in history if one.name == previous.current_revision), None)
    return good or wanted


def _deadline(spec: LLMServiceSpec, rollout: RolloutStatus) -> datetime:
    seconds = spec.rollout.progress_deadline_seconds
    return parse_time(rollout.progress_time) + timedelta(seconds=seconds)
