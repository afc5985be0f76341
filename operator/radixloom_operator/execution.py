"""Do the difference between what should be and what is. Writes, and tells what it wrote.

Order: first what the pods need (account, Services, secret), then the slices as the planner says,
then those that must start again as they are. A refusal of one object does not keep the others from
being written.
"""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from radixloom_operator import restarts, rollout
from radixloom_operator.api.status_types import ConditionType, LLMServiceStatus, SlicePhase
from radixloom_operator.api.validation import Problem
from radixloom_operator.cluster import GATEWAY_KINDS, Cluster
from radixloom_operator.desired import Desired, wire_secret
from radixloom_operator.desired.revision import Revision, controller_revision, surplus
from radixloom_operator.drift import differs, was_edited
from radixloom_operator.errors import ClusterError, NameTakenError, RefusedError
from radixloom_operator.gateways import MISSING
from radixloom_operator.naming import RECORD_ANNOTATION, RECORD_MANAGER, REVISION_LABEL
from radixloom_operator.observed import Observed, ObservedSlice
from radixloom_operator.records import record_text
from radixloom_operator.restarts import Verdict
from radixloom_operator.rollout import Action, Create, Goal, Remove, Replace, Restore
from radixloom_operator.story import APPLY_REFUSED, NAME_TAKEN, Chapter

log = structlog.stdlib.get_logger()

Manifest = dict[str, Any]

_WIRE_SECRET_BYTES = 32
_RESTART_GRACE_SECONDS = 5
"""For pods of a slice that lost a host: nothing that they still do reaches anybody."""


@dataclass(slots=True)
class Work:
    """What was done in one turn."""

    service: str
    """Whose turn it is, for the log."""
    chapters: list[Chapter] = field(default_factory=list[Chapter])
    failure: Problem | None = None
    """The first refusal."""
    has_acted: bool = False
    """Whether slices were changed, so that what was observed before is no longer true."""

    def tell(self, reason: str, message: str) -> None:
        """Add an event."""
        self.chapters.append(Chapter("Normal", reason, message))

    def warn(self, reason: str, message: str) -> None:
        """Add an event about trouble."""
        self.chapters.append(Chapter("Warning", reason, message))

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Do a write that may be refused; what is no refusal goes up, to be tried again."""
        try:
            yield
        except (RefusedError, NameTakenError) as error:
            log.warning("write.refused", service=self.service, error=str(error))
            self.failure = self.failure or _problem(error)


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of a service, and what it is to be."""

    known: tuple[Revision, ...]
    """Oldest first."""
    wanted: Revision
    """What the spec stands for; remembered before a slice is made of it."""
    current: str
    """The revision that every slice last ran."""


def _problem(error: ClusterError) -> Problem:
    reason = NAME_TAKEN if isinstance(error, NameTakenError) else APPLY_REFUSED
    return Problem(reason, str(error))


def execute(
    desired: Desired,
    observed: Observed,
    before: LLMServiceStatus,
    *,
    history: History,
    cluster: Cluster,
    now: datetime,
) -> Work:
    """Bring the live objects one turn nearer to the desired ones."""
    service = desired.service
    work = Work(f"{service.namespace}/{service.name}")
    turn = _Turn(desired, observed, before, cluster, work, now)
    turn.make_shared()
    turn.remove_shared()
    turn.make_wire_secret()
    turn.keep_history(history)
    changed = turn.change_slices()
    turn.restart_slices(but=changed)
    return work


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn's view of the world, and what is done in it."""

    desired: Desired
    observed: Observed
    before: LLMServiceStatus
    """The status written last: what the user was told there is."""
    cluster: Cluster
    work: Work
    now: datetime

    def make_shared(self) -> None:
        """Make and restore what the service has once."""
        for manifest in self.desired.shared:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            if kind in self.observed.missing_kinds:
                continue  # the status tells
            live = self.observed.shared.get((kind, name))
            with self.work.attempt():
                if live is None:
                    self._make(manifest)
                elif was_edited(manifest, live):
                    self.cluster.restore(manifest)
                    self.work.tell("Repaired", f"{kind} {name} was changed; restored")
                elif differs(manifest, live):
                    self.cluster.apply(manifest)

    def _make(self, manifest: Manifest) -> None:
        self.cluster.create(manifest, owner_uid=self.desired.service.uid)
        is_told = self.before.observed_generation == self.desired.service.generation
        if is_told and not self._could_not_be(manifest["kind"]):
            name = manifest["metadata"]["name"]
            self.work.tell("Repaired", f"{manifest['kind']} {name} was gone; made again")

    def _could_not_be(self, kind: str) -> bool:
        """Tell whether the API server did not serve the kind when the status was written."""
        reasons = {one.type: one.reason for one in self.before.conditions}
        return kind in GATEWAY_KINDS and reasons.get(ConditionType.POOL) == MISSING

    def remove_shared(self) -> None:
        """Delete what the service had once and is wanted no more."""
        wanted = {(one["kind"], one["metadata"]["name"]) for one in self.desired.shared}
        for (kind, name), live in self.observed.shared.items():
            if (kind, name) not in wanted:
                with self.work.attempt():
                    self._delete(kind, name, live["metadata"]["uid"])

    def make_wire_secret(self) -> None:
        """Make the secret of a slice's hosts; the API server keeps the first that is made.

        It is never read. Pods that are ready have it; any other may wait for it.
        """
        wanted = (self.observed.slice(index) for index in range(len(self.desired.slices)))
        is_whole = all(one.is_ready for one in (*wanted, *self.observed.slices))
        if self.desired.needs_wire_secret and not is_whole:
            secret = secrets.token_urlsafe(_WIRE_SECRET_BYTES)
            with self.work.attempt():
                self.cluster.create_once(wire_secret(self.desired.service, secret))

    def keep_history(self, history: History) -> None:
        """Write the wanted revision down, and forget the oldest that nothing uses."""
        service, known = self.desired.service, history.known
        if all(one.name != history.wanted.name for one in known):
            with self.work.attempt():
                self.cluster.create_once(controller_revision(service, history.wanted))
        used = {history.wanted.name, self.desired.revision.name, history.current}
        used |= {one.revision for one in self.observed.slices}
        limit = service.spec.rollout.revision_history_limit
        forgotten = {one.name for one in surplus(known, frozenset(used), limit=limit)}
        for live in self.observed.revisions:
            if live["metadata"]["labels"].get(REVISION_LABEL) in forgotten:
                metadata = live["metadata"]
                self._delete("ControllerRevision", metadata["name"], metadata["uid"])

    def change_slices(self) -> frozenset[int]:
        """Do what the planner says; return the slices that it concerned."""
        spec = self.desired.service.spec
        goal = Goal(
            replicas=spec.replicas,
            revision=self.desired.revision.name,
            max_unavailable=spec.rollout.max_unavailable,
            max_surge=spec.rollout.max_surge,
            is_paused=spec.paused,
        )
        actions = rollout.plan(goal, self.observed.slices, self._changed())
        for action in actions:
            self.work.has_acted = True
            with self.work.attempt():
                self._act(action)
        return frozenset(action.index for action in actions)

    def restart_slices(self, *, but: frozenset[int]) -> None:
        """Start slices again that lost a host, and remember what befell the others."""
        policy = self.desired.service.spec.restart
        for one in self.observed.slices:
            verdict = None if one.index in but else restarts.judge(one, policy, self.now)
            if verdict is not None:
                with self.work.attempt():
                    self._restart(one, verdict)

    def _restart(self, one: ObservedSlice, verdict: Verdict) -> None:
        """Write down which pods go before they go, so that it is done once, whoever ends it."""
        if verdict.record != one.record and one.statefulset is not None:
            text = record_text(verdict.record)
            self.cluster.annotate(
                one.statefulset, {RECORD_ANNOTATION: text}, manager=RECORD_MANAGER
            )
        for pod in verdict.doomed:
            self.work.has_acted = True
            self._delete("Pod", pod.name, pod.uid, grace_seconds=_RESTART_GRACE_SECONDS)
        if verdict.restart is not None:
            self.work.has_acted = True
            cause = restarts.describe(verdict.restart)
            what = "starts again as a whole" if verdict.doomed else "was started again"
            self.work.warn("SliceRestarted", f"slice {one.index} {what}: {cause}")

    def _changed(self) -> frozenset[int]:
        """Return the slices whose StatefulSet is not as it should be."""
        return frozenset(
            index
            for index, wanted in enumerate(self.desired.slices)
            if (live := self.observed.slice(index).statefulset) is not None
            and differs(wanted, live)
        )

    def _act(self, action: Action) -> None:
        """Do one action and tell it."""
        index = action.index
        match action:
            case Create():
                self.cluster.create(self.desired.slice(index), owner_uid=self.desired.service.uid)
                self._tell_creation(index)
            case Restore():
                self._restore(index)
            case Replace():
                self._replace(index)
            case Remove():
                metadata = (self.observed.slice(index).statefulset or {})["metadata"]
                self._delete("StatefulSet", metadata["name"], metadata["uid"])
                self.work.tell("ScaledDown", f"slice {index} is ending")

    def _restore(self, index: int) -> None:
        """Put a slice right; what was added for a rollout and is asked for by now is no repair."""
        wanted, live = self.desired.slice(index), self.observed.slice(index).statefulset
        was_changed = live is not None and was_edited(wanted, live)
        self.cluster.restore(wanted)
        if was_changed:
            self.work.tell("Repaired", f"slice {index}: its StatefulSet was changed; restored")

    def _replace(self, index: int) -> None:
        """Give a slice its new template first, so that the pods that follow are made from it."""
        revision, wanted = self.desired.revision.name, self.desired.slice(index)
        live = self.observed.slice(index).statefulset
        if live is None or differs(wanted, live):
            self.cluster.apply(wanted)
        for pod in self.observed.slice(index).stale_pods(revision):
            self._delete("Pod", pod.name, pod.uid)
        self.work.tell("SliceReplaced", f"slice {index} moves to revision {revision}")

    def _tell_creation(self, index: int) -> None:
        was_there = any(
            one.index == index and one.phase != SlicePhase.DRAINING for one in self.before.slices
        )
        if was_there:
            self.work.tell("Repaired", f"slice {index} was gone; made again")
        else:
            self.work.tell("SliceCreated", f"slice {index}: {self.desired.hardware.summary}")

    def _delete(self, kind: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        namespace = self.desired.service.namespace
        self.cluster.delete(kind, namespace, name, uid=uid, grace_seconds=grace_seconds)
