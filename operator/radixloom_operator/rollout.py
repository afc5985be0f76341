"""Which slices to make, restore, replace and remove: the planner. Pure.

A slice is replaced as a whole: its StatefulSet gets the new template, then its pods are deleted,
and the StatefulSet makes new ones. So a slice that is not replaced yet keeps its old template, and
a pod lost in the middle of a rollout comes back as it was.

    in flight   = slices of the new revision that are not ready, or not there yet
    down        = every slice that is not ready, in flight or not
    may go down = maxUnavailable - down                  (ready slices that may be replaced now)

An old slice that is not ready is replaced at once: it serves nobody, and to wait for it would be to
wait for ever. A new slice that never gets ready keeps `down` up, so that a bad image stops after
the first `maxUnavailable` slices.
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
    is_paused: bool = False
    """Hold replacements back; everything else goes on."""


def plan(
    goal: Goal, slices: tuple[ObservedSlice, ...], changed: frozenset[int] = frozenset()
) -> tuple[Action, ...]:
    """Return the actions of this turn, in order; the next turn sees their effect.

    `changed` are the slices of the goal's revision whose StatefulSet somebody edited.
    """
    wanted = {one.index: one for one in slices if one.index < goal.replicas}
    return (
        *_removals(goal, slices),
        *_creations(goal, wanted),
        *_restorations(goal, wanted, changed),
        *([] if goal.is_paused else _replacements(goal, wanted)),
    )


def outdated(goal: Goal, slices: tuple[ObservedSlice, ...]) -> tuple[ObservedSlice, ...]:
    """List the wanted slices that exist in another revision, newest slice first."""
    return tuple(
        one
        for one in sorted(slices, key=lambda one: -one.index)
        if one.index < goal.replicas and one.exists and not one.is_updated(goal.revision)
    )


def _removals(goal: Goal, slices: tuple[ObservedSlice, ...]) -> Iterator[Action]:
    surplus = [one.index for one in slices if one.index >= goal.replicas and one.exists]
    for index in sorted(surplus, reverse=True):
        yield Remove(index)


def _creations(goal: Goal, wanted: dict[int, ObservedSlice]) -> Iterator[Action]:
    for index in range(goal.replicas):
        # one that is being deleted is made anew once it is gone
        if index not in wanted or wanted[index].statefulset is None:
            yield Create(index)


def _restorations(
    goal: Goal, wanted: dict[int, ObservedSlice], changed: frozenset[int]
) -> Iterator[Action]:
    for index, one in sorted(wanted.items()):
        if index in changed and one.exists and one.revision == goal.revision:
            yield Restore(index)


def _replacements(goal: Goal, wanted: dict[int, ObservedSlice]) -> Iterator[Action]:
    old = outdated(goal, tuple(wanted.values()))
    yield from (Replace(one.index) for one in old if not one.is_ready)
    down = goal.replicas - sum(one.is_ready for one in wanted.values())
    may_go_down = max(0, goal.max_unavailable - down)
    yield from (Replace(one.index) for one in [one for one in old if one.is_ready][:may_go_down])
