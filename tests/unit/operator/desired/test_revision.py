"""What a spec stood for is remembered, and stands for it ever after."""

import pytest
from support.llmservice_cases import manifest

from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import Problem, read
from radixloom_operator.desired.revision import (
    Revision,
    controller_revision,
    pin_problem,
    read_history,
    revision_of,
    surplus,
)
from radixloom_operator.settings import OperatorSettings

SETTINGS = OperatorSettings()
UPGRADED = OperatorSettings(runtime_image="radixloom-runtime:2")


def service(change=None) -> LLMService:
    found = read(manifest(change))
    assert not isinstance(found, Problem)
    return found


def first() -> Revision:
    return revision_of(service(), SETTINGS, ())


@pytest.mark.parametrize(
    "change",
    [
        {"spec.replicas": 7},
        {"spec.paused": True},
        {"spec.rollout": {"maxUnavailable": 3}},
        {"spec.restart": {"maxRestarts": 1}},
        {"spec.engine": {"dtype": "auto"}},
        {"spec.parallelism": {"data": 1}},
    ],
    ids=str,
)
def test_what_makes_no_pod_makes_no_revision(change):
    assert revision_of(service(change), SETTINGS, (first(),)) == first()


def test_an_upgrade_of_the_operator_changes_nothing_until_the_spec_does():
    known = first()
    assert revision_of(service(), UPGRADED, (known,)) == known
    changed = revision_of(service({"spec.engine.args": ["--x"]}), UPGRADED, (known,))
    assert changed.number == 2
    assert changed.template["spec"]["containers"][0]["image"] == "radixloom-runtime:2"


def test_going_back_to_an_old_spec_is_going_back_to_its_revision():
    known = first()
    changed = revision_of(service({"spec.engine.args": ["--x"]}), SETTINGS, (known,))
    assert changed.name != known.name
    assert revision_of(service(), UPGRADED, (known, changed)) == known


def test_a_spec_that_becomes_the_same_pods_is_the_same_revision():
    named = {"spec.engine.image": SETTINGS.runtime_image}
    found = revision_of(service(named), SETTINGS, (first(),))
    assert (found.name, found.number) == (first().name, 1)
    assert found.spec != first().spec


def test_a_revision_is_written_down_and_read_again():
    written = controller_revision(service(), first())
    assert written["metadata"]["name"] == f"chat-{first().name}"
    assert written["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert read_history((written,)) == (first(),)


def test_history_is_read_oldest_first_and_without_what_is_unreadable():
    second = revision_of(service({"spec.engine.args": ["--x"]}), SETTINGS, (first(),))
    written = [controller_revision(service(), one) for one in (second, first())]
    broken = controller_revision(service(), first())
    del broken["data"]["template"]
    newer = controller_revision(service(), first())
    newer["data"]["spec"] = {"model": {"uri": "hf://a/b"}, "tpu": {"generation": "v99"}}
    assert read_history((*written, broken, newer)) == (first(), second)


def test_a_pinned_revision_is_served_whatever_the_spec_says():
    changed = revision_of(service({"spec.engine.args": ["--x"]}), SETTINGS, (first(),))
    pinned = service(
        {"spec.engine.args": ["--x"], "spec.rollout.revision": first().name, "spec.replicas": 3}
    )
    assert revision_of(pinned, SETTINGS, (first(), changed)) == first()
    served = first().service(pinned)
    assert (served.spec.engine.args, served.spec.replicas) == ((), 3)


def test_a_pin_to_what_is_not_remembered_says_what_is():
    pinned = service({"spec.rollout.revision": "abc"})
    problem = pin_problem(pinned, (first(),))
    assert problem is not None
    assert problem.reason == "RevisionNotFound"
    assert first().name in problem.message
    assert "unset it" in problem.message
    assert pin_problem(service(), ()) is None


def test_of_what_nothing_uses_the_last_are_kept():
    history = tuple(Revision(str(number), number, {}, {}) for number in range(1, 7))
    forgotten = surplus(history, frozenset({"1", "6"}), limit=2)
    assert [one.name for one in forgotten] == ["2", "3"]
    assert surplus(history, frozenset({"6"}), limit=9) == ()
    assert len(surplus(history, frozenset(), limit=0)) == 6
