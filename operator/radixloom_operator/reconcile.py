"""The one sequence: read all, work out what should be, do the difference, tell the status.

    LLMService ──> typed spec ──> desired objects ─┐
                                                   ├─> actions ──> API server
    live objects ──> observed ─────────────────────┤
                                                   └─> status, events

Level-based: it never asks what happened, only what is. It may run at any time, any number of times,
and be ended at any point: the next run goes on from what it finds.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError

from radixloom_operator import progress, restarts, status, story
from radixloom_operator.api.autoscaling import AutoscalingStatus
from radixloom_operator.api.routing import RoutingMode
from radixloom_operator.api.status_types import ConditionType, LLMServiceStatus, RolloutStatus
from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import Problem, accept
from radixloom_operator.autoscaling.meter import Meter
from radixloom_operator.autoscaling.turn import Autoscaler
from radixloom_operator.cluster import GATEWAY_KINDS, Cluster
from radixloom_operator.conditions import Facts
from radixloom_operator.desired import Desired, desired_objects
from radixloom_operator.desired.revision import (
    Revision,
    pin_problem,
    read_history,
    revision_of,
)
from radixloom_operator.errors import ClusterError
from radixloom_operator.execution import History, Work, execute
from radixloom_operator.gateways import PoolState, left_behind, pool_state
from radixloom_operator.leaders import Leaders
from radixloom_operator.naming import Key
from radixloom_operator.observed import Observed, World, observe
from radixloom_operator.settings import OperatorSettings
from radixloom_operator.starts import startups
from radixloom_operator.story import Chapter
from radixloom_operator.times import write_time

log = structlog.stdlib.get_logger()

Manifest = dict[str, Any]

_POOL_SECONDS = 30.0
"""Pools are not watched, as clusters may lack the kind: so long until Gateways are heard."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How a turn ended."""

    is_settled: bool = True
    """Whether nothing was refused."""
    again_seconds: float | None = None
    """When to take the next one, should nothing happen."""


def reconcile(
    key: Key,
    *,
    cluster: Cluster,
    settings: OperatorSettings,
    leaders: Leaders,
    meter: Meter,
    now: datetime,
) -> Turn:
    """Bring the service `key` one turn nearer to its spec.

    Raises:
        ClusterError: the API server was not well or could not be reached; try again.
    """
    meter.sleepers.drop(key)  # this turn will say again
    manifest = cluster.service(key)
    if manifest is None or manifest["metadata"].get("deletionTimestamp"):
        return Turn()  # owner references collect the rest
    before = _stored_status(key, manifest)
    world = cluster.world(key, with_gateways=_has_or_had_pool(manifest, before))
    scene = _Scene(
        key,
        manifest,
        world,
        before,
        cluster=cluster,
        settings=settings,
        leaders=leaders,
        meter=meter,
        now=now,
    )
    history = read_history(scene.observed.revisions)
    service = accept(manifest)
    if isinstance(service, Problem):
        return scene.refuse(service)
    problem = pin_problem(service, history)
    if problem is not None:
        return scene.refuse(problem)
    return scene.serve(service, history)


@dataclass(frozen=True, slots=True)
class _Scene:
    """One turn: what was read, and what it is read with."""

    key: Key
    manifest: Manifest
    world: World
    before: LLMServiceStatus
    _: KW_ONLY
    cluster: Cluster
    settings: OperatorSettings
    leaders: Leaders
    meter: Meter
    now: datetime

    @property
    def observed(self) -> Observed:
        return observe(self.world, owner_uid=self.manifest["metadata"]["uid"])

    def refuse(self, problem: Problem) -> Turn:
        """Leave everything as it is and say what is wrong with the spec."""
        after = status.refused_status(
            problem,
            self.manifest["metadata"].get("generation", 0),
            self.observed,
            self.before,
            now=write_time(self.now),
        )
        self.tell(after, Work(str(self.key)))
        return Turn()

    def serve(self, service: LLMService, known: tuple[Revision, ...]) -> Turn:
        """Bring the slices one turn nearer to what the spec asks for."""
        spec, now = service.spec, self.now
        wanted = revision_of(service, self.settings, known)
        observed, _ = restarts.with_verdicts(self.observed, spec.restart, now)
        rollout = progress.track(spec, wanted.name, observed, self.before, now)
        made = progress.choose(spec, wanted, known, rollout, self.before)
        desired = desired_objects(
            made.service(service), self.settings, made, routers_serve=observed.num_routers > 0
        )
        history = History(known, wanted, self.before.current_revision)
        work = execute(
            desired, observed, self.before, history=history, cluster=self.cluster, now=now
        )
        if work.has_acted:  # a slice just replaced must not be told as serving
            world = self.cluster.world_again(self.key, self.world)
            observed = observe(world, owner_uid=service.uid)
        observed, again = restarts.with_verdicts(observed, spec.restart, now)
        scaling = self.autoscale(service, observed, work)
        pool = _pool_state(desired, observed, has_failed=work.failure is not None)
        facts = replace(_facts(desired, wanted, rollout, scaling, work.failure), pool=pool)
        told = startups(observed, self.before, self.leaders)
        after = status.accepted_status(facts, observed, self.before, told, now=write_time(now))
        self.tell(after, work)
        pauses = [again, progress.again_seconds(spec, rollout, now)]
        pauses += [self.meter.period_seconds] if scaling else []
        pauses += [_POOL_SECONDS] if pool and not pool.is_settled else []
        return Turn(work.failure is None, min((one for one in pauses if one), default=None))

    def autoscale(
        self, service: LLMService, observed: Observed, work: Work
    ) -> AutoscalingStatus | None:
        """Have replicas follow the load; the next turn makes the slices."""
        policy = service.spec.autoscaling
        if policy is None:
            return None
        scaler = Autoscaler(self.meter, self.cluster)
        before = self.before.autoscaling
        return scaler.turn(policy, self.manifest, observed, before, work=work, now=self.now)

    def tell(self, after: LLMServiceStatus, work: Work) -> None:
        """Write the status where it changed, and this turn's events in the order of the story."""
        key, manifest, before, cluster = self.key, self.manifest, self.before, self.cluster
        chapters = [*story.acceptance(before, after), *work.chapters]
        try:
            if after != before:
                uid = manifest["metadata"]["uid"]
                cluster.apply_status(key, uid, status.to_manifest(after))
                chapters += story.transitions(before, after)
        finally:
            _post_events(key, manifest, chapters, cluster=cluster, now=self.now)


def _facts(
    desired: Desired,
    wanted: Revision,
    rollout: RolloutStatus | None,
    scaling: AutoscalingStatus | None,
    failure: Problem | None,
) -> Facts:
    spec = desired.service.spec
    return Facts(
        name=desired.service.name,
        generation=desired.service.generation,
        replicas=spec.replicas,
        revision=desired.revision.name,
        wanted_revision=wanted.name,
        is_paused=spec.paused,
        model_name=desired.model_name,
        url=desired.url,
        hardware=desired.hardware,
        failure=failure,
        rollout=rollout,
        autoscaling=scaling,
        has_routers=spec.routing.mode is RoutingMode.ROUTER,
    )


def _has_or_had_pool(manifest: Manifest, before: LLMServiceStatus) -> bool:
    """Tell whether objects of Gateways are to be looked at: wanted, or to be removed."""
    mode = ((manifest.get("spec") or {}).get("routing") or {}).get("mode")
    told = any(one.type == ConditionType.POOL for one in before.conditions)
    return told or mode == RoutingMode.INFERENCE_POOL


def _pool_state(desired: Desired, observed: Observed, *, has_failed: bool) -> PoolState | None:
    if desired.service.spec.routing.inference_pool is None:
        return left_behind(observed) if has_failed else None
    kinds = frozenset(one["kind"] for one in desired.shared) & set(GATEWAY_KINDS)
    return pool_state(desired.service.name, kinds, observed)


def _stored_status(key: Key, manifest: Manifest) -> LLMServiceStatus:
    """Return the status written last; one of another version of the operator counts as none."""
    try:
        return LLMServiceStatus.model_validate(manifest.get("status") or {})
    except ValidationError as error:
        log.warning("status.unreadable", service=str(key), mistakes=error.error_count())
        return LLMServiceStatus.model_validate({})


def _post_events(
    key: Key,
    manifest: Manifest,
    chapters: Sequence[Chapter],
    *,
    cluster: Cluster,
    now: datetime,
) -> None:
    for number, chapter in enumerate(chapters):
        log.info("service.event", service=str(key), reason=chapter.reason, message=chapter.message)
        # names that sort in the order of the story, since times have whole seconds
        unique = f"{int(now.timestamp() * 1e6):x}{number:02x}"
        event = story.event_manifest(chapter, manifest, now=write_time(now), unique=unique)
        try:
            cluster.create_once(event)
        except ClusterError as error:  # a lost event changes nothing
            log.warning("event.lost", service=str(key), error=str(error))
