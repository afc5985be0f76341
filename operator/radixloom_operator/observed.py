"""What exists of a service, read once at the start of a reconcile and not changed after. Pure.

A slice as seen here is its StatefulSet and its pods; either may be missing: a StatefulSet just made
has no pods, pods whose StatefulSet was deleted take time to end.
"""

from dataclasses import dataclass, field
from typing import Any

from radixloom_operator.naming import (
    POD_INDEX_LABEL,
    REVISION_LABEL,
    SLICE_INDEX_LABEL,
    SURGE_LABEL,
)
from radixloom_operator.pod_state import (
    Ending,
    PodReason,
    PodState,
    PodTimes,
    http_address,
    is_ready,
    is_scheduled,
    last_ending,
    pod_state,
    pod_times,
    restarts,
)
from radixloom_operator.records import SliceRecord, read_record

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Live objects of one service, as the API server lists them."""

    statefulsets: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    revisions: tuple[Manifest, ...] = ()
    """What is remembered of pod templates."""
    shared: tuple[Manifest, ...] = ()
    """Services, budgets, accounts: what the service has once."""
    missing_kinds: frozenset[str] = frozenset()
    """Kinds that were asked for and that the API server does not serve."""


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """One host."""

    name: str
    uid: str
    host: int
    revision: str
    is_ready: bool
    is_ending: bool
    is_scheduled: bool
    restarts: int
    ending: Ending | None
    """How its engine last ended."""
    times: PodTimes
    address: str
    """Where its engine listens, as host:port; empty where that is not known yet."""
    state: PodState


@dataclass(frozen=True, slots=True)
class ObservedSlice:
    """One slice: a StatefulSet, or what is left of one, and its pods, host 0 first."""

    index: int
    statefulset: Manifest | None
    pods: tuple[ObservedPod, ...] = ()
    told: PodState | None = None
    """What is known of the slice as a whole; it says more than its pods do."""

    @property
    def exists(self) -> bool:
        """Whether there is a StatefulSet that is not on its way out."""
        return self.statefulset is not None and not self.statefulset["metadata"].get(
            "deletionTimestamp"
        )

    @property
    def revision(self) -> str:
        """Revision of the StatefulSet's template; pods that are made now get this one."""
        return _labels(self.statefulset or {}).get(REVISION_LABEL, "")

    @property
    def is_surge(self) -> bool:
        """Whether the slice was added for a rollout alone."""
        return SURGE_LABEL in _labels(self.statefulset or {})

    @property
    def present(self) -> tuple[ObservedPod, ...]:
        """Pods that are not on their way out."""
        return tuple(pod for pod in self.pods if not pod.is_ending)

    @property
    def record(self) -> SliceRecord:
        """What is remembered of the slice in its present revision."""
        return read_record(self.statefulset or {"metadata": {}}, self.revision)

    @property
    def hosts(self) -> int:
        """Pods that the StatefulSet is to have."""
        return ((self.statefulset or {}).get("spec") or {}).get("replicas", 0)

    @property
    def ready_hosts(self) -> int:
        """Pods that are ready."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def is_ready(self) -> bool:
        """Whether the slice serves: every host is there and the leader's engine makes steps.

        A follower that fell out makes the leader's steps fail, so the leader's word is enough.
        """
        return self.exists and len(self.present) == self.hosts and self._leader_is_ready

    @property
    def leader(self) -> ObservedPod | None:
        """The pod of host 0; one that is not on its way out, where there are two."""
        hosts = sorted((pod for pod in self.pods if pod.host == 0), key=lambda pod: pod.is_ending)
        return hosts[0] if hosts else None

    @property
    def _leader_is_ready(self) -> bool:
        return any(pod.is_ready for pod in self.pods if pod.host == 0)

    def is_updated(self, revision: str) -> bool:
        """Tell whether the slice is of `revision`; pods on their way out do not count."""
        return self.revision == revision and not self.stale_pods(revision)

    def stale_pods(self, revision: str) -> tuple[ObservedPod, ...]:
        """Return the pods that must go for the slice to be of `revision`."""
        return tuple(pod for pod in self.pods if pod.revision != revision and not pod.is_ending)

    @property
    def worst(self) -> PodState:
        """Return the state that tells the slice's: its own, or else its worst pod's."""
        if self.told is not None:
            return self.told
        if not self.pods or (self.exists and len(self.pods) < self.hosts):
            missing = self.hosts - len(self.pods)
            waiting = PodState(
                PodReason.PENDING,
                f"slice {self.index} waits for {missing} of its {self.hosts} pods to be created",
            )
            return min((waiting, *(pod.state for pod in self.pods)), key=_severity)
        return min((pod.state for pod in self.pods), key=_severity)


@dataclass(frozen=True, slots=True)
class Observed:
    """What exists of one service."""

    slices: tuple[ObservedSlice, ...] = ()
    revisions: tuple[Manifest, ...] = ()
    shared: dict[tuple[str, str], Manifest] = field(default_factory=dict[tuple[str, str], Manifest])
    """By kind and name."""
    missing_kinds: frozenset[str] = frozenset()
    """Kinds that were asked for and that the API server does not serve."""

    @property
    def num_routers(self) -> int:
        """Routers that are available."""
        found = (one for (kind, _), one in self.shared.items() if kind == "Deployment")
        return sum((one.get("status") or {}).get("availableReplicas", 0) for one in found)

    def slice(self, index: int) -> ObservedSlice:
        """Return slice `index`, which may be nothing yet."""
        found = (one for one in self.slices if one.index == index)
        return next(found, ObservedSlice(index, None))


def observe(world: World, *, owner_uid: str) -> Observed:
    """Sort the live objects of the service with `owner_uid` into slices and the rest.

    What an earlier service of the same name left behind belongs to the garbage collector.
    """
    statefulsets = {
        index: one
        for one in world.statefulsets
        if is_owned(one, owner_uid) and (index := _index(one)) is not None
    }
    pods: dict[int, list[ObservedPod]] = {}
    for pod in world.pods:
        index = _index(pod)
        if index is not None:
            pods.setdefault(index, []).append(_observed_pod(pod))
    return Observed(
        slices=tuple(
            ObservedSlice(
                index,
                statefulsets.get(index),
                tuple(sorted(pods.get(index, []), key=lambda pod: pod.host)),
            )
            for index in sorted({*statefulsets, *pods})
        ),
        revisions=tuple(one for one in world.revisions if is_owned(one, owner_uid)),
        shared={
            (one["kind"], one["metadata"]["name"]): one
            for one in world.shared
            if is_owned(one, owner_uid)
        },
        missing_kinds=world.missing_kinds,
    )


def is_owned(manifest: Manifest, owner_uid: str) -> bool:
    """Tell whether the object with `owner_uid` controls this one."""
    references = manifest["metadata"].get("ownerReferences") or []
    return any(one.get("controller") and one.get("uid") == owner_uid for one in references)


def _observed_pod(pod: Manifest) -> ObservedPod:
    labels = _labels(pod)
    name: str = pod["metadata"]["name"]
    ordinal = labels.get(POD_INDEX_LABEL) or name.rpartition("-")[2]
    return ObservedPod(
        name=name,
        uid=pod["metadata"].get("uid", ""),
        host=int(ordinal) if ordinal.isdigit() else -1,
        revision=labels.get(REVISION_LABEL, ""),
        is_ready=is_ready(pod),
        is_ending=bool(pod["metadata"].get("deletionTimestamp")),
        is_scheduled=is_scheduled(pod),
        restarts=restarts(pod),
        ending=last_ending(pod),
        times=pod_times(pod),
        address=http_address(pod),
        state=pod_state(pod),
    )


def _index(manifest: Manifest) -> int | None:
    text = _labels(manifest).get(SLICE_INDEX_LABEL, "")
    return int(text) if text.isdigit() else None


def _labels(manifest: Manifest) -> dict[str, str]:
    return (manifest.get("metadata") or {}).get("labels") or {}


def _severity(state: PodState) -> int:
    return list(PodReason).index(state.reason)
