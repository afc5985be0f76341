"""Which slices to make, restore, replace and remove: the planner. Pure.

A slice is replaced as a whole: its StatefulSet gets the new template, then its pods are deleted,
and the StatefulSet makes new ones. So a slice that is not replaced yet keeps its old template, and
a pod lost in the middle of a rollout comes back as it was.

    serving      = ready slices of those asked for, and of those added for the rollout
    may go down  = serving - (replicas - maxUnavailable)      (ready slices that may be taken now)
    added        = at most maxSurge slices beyond the replicas, as long as one is left to replace

An old slice that is not ready is replaced at once: it serves nobody, and to wait for it would be to
wait for ever. A new slice that never gets ready is missing in `serving`, so that a bad image stops
after the first `maxUnavailable` slices. What was added goes when all are replaced, and no sooner
than the others can do without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from radixloom_operator.observed import ObservedSlice


@dataclass(frozen=True, slots=True)
class Create:
    """Make a slice that is not there."""

    index: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Apply a slice again that somebody changed; its pods stay."""

    index: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Apply the new template and delete the pods of the old one."""

    index: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a slice that is wanted no more."""

    index: int


Action = Create | Restore | Replace | Remove


@dataclass(frozen=True, slots=True)
class Goal:
    """What the slices should become."""

    replicas: int
    revision: str
    max_unavailable: int = 1
    max_surge: int = 0
    is_paused: bool = False
    """Hold replacements back; everything else goes on."""


def plan(
    goal: Goal, slices: tuple[ObservedSlice, ...], changed: frozenset[int] = frozenset()
) -> tuple[Action, ...]:
    """Return the actions of this turn, in order; the next turn sees their effect.

    `changed` are the slices of the goal's revision whose StatefulSet somebody edited.
    """
    kept = _kept(goal, slices)
    members = {one.index: one for one in slices if one.index in kept}
    spare = _spare(goal, members)
    replacements = () if goal.is_paused else _replacements(goal, members, spare)
    return (
        *_removals(goal, slices, kept),
        *_creations(members, kept),
        *_restorations(goal, members, changed),
        *replacements,
    )


def outdated(goal: Goal, slices: tuple[ObservedSlice, ...]) -> tuple[ObservedSlice, ...]:
    """List the wanted slices that exist in another revision, newest slice first."""
    return tuple(
        one
        for one in sorted(slices, key=lambda one: -one.index)
        if one.index < goal.replicas and one.exists and not one.is_updated(goal.revision)
    )


def _kept(goal: Goal, slices: tuple[ObservedSlice, ...]) -> frozenset[int]:
    """Return the slices that there should be: those asked for, and those added for the rollout.

    What was asked for once and is no more goes first, though its place be taken by an added one.
    """
    others = {one.index for one in slices if one.statefulset is not None and not one.is_surge}
    added = range(goal.replicas, goal.replicas + goal.max_surge)
    if goal.is_paused:
        there = {one.index for one in slices if one.exists and one.is_surge}
        added = [index for index in added if index in there]
    else:
        added = added[: len(outdated(goal, slices))]
    return frozenset(range(goal.replicas)) | (frozenset(added) - others)


def _spare(goal: Goal, members: dict[int, ObservedSlice]) -> int:
    """Return how many ready slices may be taken out of service now."""
    serving = sum(one.is_ready for one in members.values())
    return max(0, serving - (goal.replicas - goal.max_unavailable))


def _removals(
    goal: Goal, slices: tuple[ObservedSlice, ...], kept: frozenset[int]
) -> Iterator[Action]:
    for one in sorted(slices, key=lambda one: -one.index):
        if one.index in kept or not one.exists:
            continue
        serves_for_others = one.is_surge and one.is_ready and one.index >= goal.replicas
        if serves_for_others and _is_missed(goal, slices):
            continue
        yield Remove(one.index)


def _is_missed(goal: Goal, slices: tuple[ObservedSlice, ...]) -> bool:
    """Tell whether the slices asked for cannot do without what was added."""
    serving = sum(one.is_ready for one in slices if one.index < goal.replicas)
    return serving < goal.replicas - goal.max_unavailable


def _creations(members: dict[int, ObservedSlice], kept: frozenset[int]) -> Iterator[Action]:
    for index in sorted(kept):
        # one that is being deleted is made anew once it is gone
        if index not in members or members[index].statefulset is None:
            yield Create(index)


def _restorations(
    goal: Goal, members: dict[int, ObservedSlice], changed: frozenset[int]
) -> Iterator[Action]:
    for index, one in sorted(members.items()):
        if index in changed and one.exists and one.revision == goal.revision:
            yield Restore(index)


def _replacements(goal: Goal, members: dict[int, ObservedSlice], spare: int) -> tuple[Replace, ...]:
    old = [
        one
        for one in sorted(members.values(), key=lambda one: -one.index)
        if one.exists and not one.is_updated(goal.revision)
    ]
    broken = [one for one in old if not one.is_ready]
    sound = [one for one in old if one.is_ready][:spare]
    return tuple(Replace(one.index) for one in (*broken, *sound))
