"""A change's deadline, and what is made when it has failed."""

from datetime import UTC, datetime, timedelta

from support.kubernetes_objects import LOADING, OWNER_UID, pod, statefulset
from support.llmservice_cases import manifest

from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.api.types import LLMServiceSpec
from radixloom_operator.api.validation import Problem, read
from radixloom_operator.desired.revision import Revision
from radixloom_operator.observed import Observed, World, observe
from radixloom_operator.progress import again_seconds, choose, track

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLED = LLMServiceStatus(current_revision="old", update_revision="old")
OLD, NEW = (Revision(name, number, {}, {}) for number, name in enumerate(("old", "new"), 1))


def spec(**change) -> LLMServiceSpec:
    values = {"spec.replicas": 2, "spec.rollout": {"progressDeadlineSeconds": 100}, **change}
    service = read(manifest(values))
    assert not isinstance(service, Problem)
    return service.spec


def seen(*words: str) -> Observed:
    """Observe slices: `old` and `new` are ready, `NEW` is not."""
    statefulsets = [statefulset(i, revision=word.lower()) for i, word in enumerate(words)]
    pods = [
        pod(i, revision=word.lower(), status=LOADING if word.isupper() else None)
        for i, word in enumerate(words)
    ]
    return observe(World(tuple(statefulsets), tuple(pods)), owner_uid=OWNER_UID)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def after(*turns: tuple[float, Observed], given: LLMServiceSpec | None = None):
    """Follow a change through turns of (second, what is seen)."""
    status = SETTLED
    for seconds, observed in turns:
        rollout = track(given or spec(), "new", observed, status, at(seconds))
        status = status.model_copy(update={"rollout": rollout})
    return status.rollout


def test_where_the_current_revision_is_wanted_there_is_no_change():
    assert track(spec(), "old", seen("old", "old"), SETTLED, START) is None


def test_a_change_that_gets_nowhere_for_its_deadline_has_failed():
    waiting = (0, seen("old", "NEW"))
    assert after(waiting, (99, seen("old", "NEW"))).failure is None
    assert after(waiting, (100, seen("old", "NEW"))).failure == "ProgressDeadlineExceeded"


def test_a_slice_more_starts_the_clock_again_and_one_that_comes_back_does_not():
    turns = [(0, seen("old", "NEW")), (90, seen("old", "new"))]
    assert after(*turns, (189, seen("NEW", "new"))).failure is None
    assert after(*turns, (190, seen("NEW", "new"))).failure is not None
    flapping = [(120, seen("NEW", "NEW")), (150, seen("NEW", "new"))]
    assert after(*turns, *flapping, (190, seen("NEW", "new"))).failure is not None


def test_what_failed_stays_failed_until_the_spec_changes():
    failed = after((0, seen("old", "NEW")), (100, seen("old", "NEW")), (101, seen("new", "NEW")))
    assert failed.failure is not None
    status = SETTLED.model_copy(update={"rollout": failed})
    newer = track(spec(), "newer", seen("old", "NEW"), status, at(102))
    assert newer is not None
    assert (newer.revision, newer.failure) == ("newer", None)


def test_a_held_change_has_no_clock():
    assert after((0, seen("old", "old")), given=spec(**{"spec.paused": True})) is None
    assert after((0, seen()), given=spec(**{"spec.replicas": 0})) is None


def test_it_is_looked_at_again_when_the_deadline_is_over():
    rollout = after((0, seen("old", "NEW")))
    assert again_seconds(spec(), rollout, at(40)) == 60
    assert again_seconds(spec(), rollout, at(500)) == 1, "and not in the past"
    failed = after((0, seen("old", "NEW")), (100, seen("old", "NEW")))
    assert again_seconds(spec(), failed, at(101)) is None
    assert again_seconds(spec(), None, START) is None


def test_a_failed_change_is_undone_only_where_the_spec_says_so():
    failed = after((0, seen("old", "NEW")), (100, seen("old", "NEW")))
    going = after((0, seen("old", "NEW")))
    undoing = spec(**{"spec.rollout": {"rollbackOnFailure": True}})
    assert choose(spec(), NEW, (OLD, NEW), failed, SETTLED) == NEW
    assert choose(undoing, NEW, (OLD, NEW), going, SETTLED) == NEW
    assert choose(undoing, NEW, (OLD, NEW), failed, SETTLED) == OLD
    assert choose(undoing, NEW, (NEW,), failed, SETTLED) == NEW, "nothing to go back to"
