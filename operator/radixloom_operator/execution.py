"""Do the difference between what should be and what is. Writes, and tells what it wrote.

Order: first what the pods need (account, Services, secret), then the slices as the planner says.
A refusal of one object does not keep the others from being written.
"""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from radixloom_operator import rollout
from radixloom_operator.api.status_types import LLMServiceStatus, SlicePhase
from radixloom_operator.api.validation import Problem
from radixloom_operator.cluster import Cluster
from radixloom_operator.desired import Desired, wire_secret
from radixloom_operator.drift import differs, was_edited
from radixloom_operator.errors import ClusterError, NameTakenError, RefusedError
from radixloom_operator.observed import Observed
from radixloom_operator.rollout import Action, Create, Goal, Remove, Replace, Restore
from radixloom_operator.story import APPLY_REFUSED, NAME_TAKEN, Chapter

log = structlog.stdlib.get_logger()

Manifest = dict[str, Any]

_WIRE_SECRET_BYTES = 32


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

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Do a write that may be refused; what is no refusal goes up, to be tried again."""
        try:
            yield
        except (RefusedError, NameTakenError) as error:
            log.warning("write.refused", service=self.service, error=str(error))
            self.failure = self.failure or _problem(error)


def _problem(error: ClusterError) -> Problem:
    reason = NAME_TAKEN if isinstance(error, NameTakenError) else APPLY_REFUSED
    return Problem(reason, str(error))


def execute(
    desired: Desired, observed: Observed, before: LLMServiceStatus, *, cluster: Cluster
) -> Work:
    """Bring the live objects one turn nearer to the desired ones."""
    service = desired.service
    work = Work(f"{service.namespace}/{service.name}")
    turn = _Turn(desired, observed, before, cluster, work)
    turn.make_shared()
    turn.remove_shared()
    turn.make_wire_secret()
    turn.change_slices()
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

    def make_shared(self) -> None:
        """Make and restore what the service has once."""
        for manifest in self.desired.shared:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
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
        if self.before.update_revision:
            name = manifest["metadata"]["name"]
            self.work.tell("Repaired", f"{manifest['kind']} {name} was gone; made again")

    def remove_shared(self) -> None:
        """Delete what the service had once and is wanted no more."""
        wanted = {(one["kind"], one["metadata"]["name"]) for one in self.desired.shared}
        for (kind, name), live in self.observed.shared.items():
            if (kind, name) not in wanted:
                with self.work.attempt():
                    self._delete(kind, name, live["metadata"]["uid"])

    def make_wire_secret(self) -> None:
        """Make the secret of a slice's hosts; the API server keeps the first that is made."""
        if self.desired.needs_wire_secret:
            secret = secrets.token_urlsafe(_WIRE_SECRET_BYTES)
            with self.work.attempt():
                self.cluster.create_once(wire_secret(self.desired.service, secret))

    def change_slices(self) -> None:
        """Do what the planner says."""
        spec = self.desired.service.spec
        goal = Goal(
            replicas=spec.replicas,
            revision=self.desired.revision,
            max_unavailable=spec.rollout.max_unavailable,
            is_paused=spec.paused,
        )
        for action in rollout.plan(goal, self.observed.slices, self._changed()):
            self.work.has_acted = True
            with self.work.attempt():
                self._act(action)

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
                self.cluster.create(self.desired.slices[index], owner_uid=self.desired.service.uid)
                self._tell_creation(index)
            case Restore():
                self.cluster.restore(self.desired.slices[index])
                self.work.tell("Repaired", f"slice {index}: its StatefulSet was changed; restored")
            case Replace():
                self._replace(index)
            case Remove():
                metadata = (self.observed.slice(index).statefulset or {})["metadata"]
                self._delete("StatefulSet", metadata["name"], metadata["uid"])
                self.work.tell("ScaledDown", f"slice {index} is ending")

    def _replace(self, index: int) -> None:
        """Give a slice its new template first, so that the pods that follow are made from it."""
        revision = self.desired.revision
        self.cluster.apply(self.desired.slices[index])
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

    def _delete(self, kind: str, name: str, uid: str) -> None:
        self.cluster.delete(kind, self.desired.service.namespace, name, uid=uid)
