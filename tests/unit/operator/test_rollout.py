"""The planner, by table and by playing whole rollouts."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kubernetes_objects import LOADING, OWNER_UID, pod, statefulset

from radixloom_operator.naming import SURGE_LABEL
from radixloom_operator.observed import ObservedSlice, World, observe
from radixloom_operator.rollout import Action, Create, Goal, Remove, Replace, Restore, plan

READY_NEW, READY_OLD, BROKEN_NEW, BROKEN_OLD, HALF = "new", "old", "NEW", "OLD", "half"
"""A slice in one word: capitals are not ready; `half` has its template but not its pods."""


def slice_in(state: str, index: int) -> tuple[list, list]:
    """Return StatefulSets and pods of a slice in `state`."""
    match state:
        case "new" | "old":
            return [statefulset(index, revision=state)], [pod(index, revision=state)]
        case "NEW" | "OLD":
            revision = state.lower()
            broken = pod(index, revision=revision, status=LOADING)
            return [statefulset(index, revision=revision)], [broken]
        case "ending":
            return [], [pod(index, is_ending=True)]
        case "half":
            return [statefulset(index, revision="new")], [pod(index, revision="old")]
        case "gone":
            return [], []
        case _:
            raise AssertionError(state)


def surged(index: int, word: str) -> tuple[list, list]:
    """Return a slice that was added for a rollout."""
    statefulsets, pods = slice_in(word, index)
    for one in statefulsets:
        one["metadata"]["labels"][SURGE_LABEL] = "true"
    return statefulsets, pods


def slices(words: str) -> tuple[ObservedSlice, ...]:
    statefulsets, pods = [], []
    for index, state in enumerate(words.split()):
        is_surge = state.startswith("+")
        more_statefulsets, more_pods = (surged if is_surge else slice_in)(
            *((index, state[1:]) if is_surge else (state, index))
        )
        statefulsets += more_statefulsets
        pods += more_pods
    return observe(World(tuple(statefulsets), tuple(pods)), owner_uid=OWNER_UID).slices


@pytest.mark.parametrize(
    ("replicas", "words", "expected"),
    [
        # nothing to do
        (2, "new new", []),
        (2, "new NEW", []),
        (0, "", []),
        # making and removing
        (2, "", [Create(0), Create(1)]),
        (3, "new gone new", [Create(1)]),
        (2, "new ending", [Create(1)]),
        (1, "new new new", [Remove(2), Remove(1)]),
        (0, "old", [Remove(0)]),
        (1, "new ending", []),
        # one slice at a time, the newest first
        (3, "old old old", [Replace(2)]),
        (3, "old old new", [Replace(1)]),
        (3, "old old NEW", []),
        (3, "old new new", [Replace(0)]),
        (1, "old", [Replace(0)]),
        # an old slice that is broken waits for nothing, and a sound one waits for it
        (3, "old OLD old", [Replace(1)]),
        (2, "OLD OLD", [Replace(1), Replace(0)]),
        (2, "OLD NEW", [Replace(0)]),
        (2, "old OLD", [Replace(1)]),
        # ended between applying the template and deleting the pods: still serving, still old
        (2, "half new", [Replace(0)]),
        (2, "half NEW", []),
        # scaling and rolling at once
        (3, "old old", [Create(2)]),
        (1, "old old", [Remove(1), Replace(0)]),
    ],
)
def test_plan_with_one_slice_down_at_most(replicas, words, expected):
    goal = Goal(replicas=replicas, revision="new", max_unavailable=1)
    assert list(plan(goal, slices(words))) == expected


@pytest.mark.parametrize(
    ("max_unavailable", "words", "expected"),
    [
        (2, "old old old", [Replace(2), Replace(1)]),
        (2, "old old NEW", [Replace(1)]),
        (2, "old OLD old", [Replace(1), Replace(2)]),
        (9, "old old old", [Replace(2), Replace(1), Replace(0)]),
    ],
)
def test_plan_with_several_down(max_unavailable, words, expected):
    goal = Goal(replicas=3, revision="new", max_unavailable=max_unavailable)
    assert list(plan(goal, slices(words))) == expected


@pytest.mark.parametrize(
    ("surge", "unavailable", "words", "expected"),
    [
        (1, 0, "old old", [Create(2)]),
        (1, 0, "old old +NEW", []),
        (1, 0, "old old +new", [Replace(1)]),
        (1, 0, "old NEW +new", []),
        (1, 0, "old new +new", [Replace(0)]),
        (1, 0, "NEW new +new", []),
        (1, 0, "new new +new", [Remove(2)]),
        (1, 1, "old old", [Create(2), Replace(1)]),
        (2, 0, "old old", [Create(2), Create(3)]),
        (2, 0, "old new", [Create(2)]),
        (5, 0, "new new", []),
        # what a greater number of replicas left is no addition, and goes first
        (1, 0, "old old old", [Remove(2)]),
    ],
)
def test_what_is_added_comes_first_and_goes_last(surge, unavailable, words, expected):
    goal = Goal(replicas=2, revision="new", max_unavailable=unavailable, max_surge=surge)
    assert list(plan(goal, slices(words))) == expected


def test_nothing_is_added_while_paused_and_what_was_added_stays():
    goal = Goal(replicas=2, revision="new", max_unavailable=0, max_surge=1, is_paused=True)
    assert list(plan(goal, slices("old old"))) == []
    assert list(plan(goal, slices("old old +new"))) == []


def test_paused_holds_replacing_back_and_nothing_else():
    goal = Goal(replicas=3, revision="new", is_paused=True)
    found = plan(goal, slices("OLD new gone new"), changed=frozenset({1}))
    assert list(found) == [Remove(3), Create(2), Restore(1)]


def test_an_edited_slice_is_restored_and_a_held_one_left_alone():
    goal = Goal(replicas=2, revision="new", is_paused=True)
    assert list(plan(goal, slices("old new"), changed=frozenset({0, 1}))) == [Restore(1)]


@dataclass
class Playground:
    """Slices in words, and what the planner's actions do to them."""

    words: dict[int, str]
    is_sound: bool
    seen_down: int = 0
    history: list[Action] = field(default_factory=list)

    def turn(self, goal: Goal) -> bool:
        observed = slices(" ".join(self.words.get(i, "gone") for i in range(12)))
        actions = plan(goal, observed)
        for action in actions:
            self.history.append(action)
            match action:
                case Create(index):
                    self.words[index] = f"+{BROKEN_NEW}" if index >= goal.replicas else BROKEN_NEW
                case Replace(index):
                    self.words[index] = BROKEN_NEW
                case Remove(index):
                    self.words[index] = "gone"
                case Restore(index):
                    pass
        return bool(actions)

    def time_passes(self, dice: random.Random) -> bool:
        waiting = [i for i, word in self.words.items() if word.endswith(BROKEN_NEW)]
        if waiting and self.is_sound:
            index = dice.choice(waiting)
            self.words[index] = self.words[index].replace(BROKEN_NEW, READY_NEW)
            return True
        return False

    def serving(self, replicas: int) -> int:
        """Count the slices that answer: those asked for, and those added for the rollout."""
        kept = [word for i, word in self.words.items() if i < replicas or word.startswith("+")]
        return sum(word.removeprefix("+") in ("new", "old", "half") for word in kept)


STATES = st.sampled_from([READY_NEW, READY_OLD, BROKEN_NEW, BROKEN_OLD, HALF, "gone"])


@settings(deadline=None)  # the machine may be busy
@given(
    words=st.lists(STATES, max_size=6),
    replicas=st.integers(0, 6),
    max_unavailable=st.integers(0, 4),
    max_surge=st.integers(0, 3),
    seed=st.integers(),
)
def test_every_rollout_ends_and_never_takes_down_more_than_it_may(
    words, replicas, max_unavailable, max_surge, seed
):
    max_surge = max_surge or int(max_unavailable == 0)  # both 0 are refused at apply
    dice = random.Random(seed)
    play = Playground(dict(enumerate(words)), is_sound=True)
    goal = Goal(replicas, "new", max_unavailable=max_unavailable, max_surge=max_surge)
    floor = min(play.serving(replicas), replicas - max_unavailable)
    for _ in range(100):
        acted = play.turn(goal)
        assert play.serving(replicas) >= floor
        moved = play.time_passes(dice)
        if not acted and not moved:
            break
    wanted = [play.words.get(index) for index in range(replicas)]
    assert wanted == [READY_NEW] * replicas
    assert all(play.words.get(index, "gone") == "gone" for index in range(replicas, 12))


@settings(deadline=None)  # the machine may be busy
@given(replicas=st.integers(1, 6), max_unavailable=st.integers(1, 6))
def test_a_revision_that_never_gets_ready_stops_after_what_may_be_down(replicas, max_unavailable):
    play = Playground(dict.fromkeys(range(replicas), READY_OLD), is_sound=False)
    goal = Goal(replicas=replicas, revision="new", max_unavailable=max_unavailable)
    for _ in range(20):
        play.turn(goal)
    assert play.serving(replicas) == max(0, replicas - max_unavailable)
