"""Events: each told once."""

from support.llmservice_cases import manifest

from radixloom_operator.api.status_types import Condition, LLMServiceStatus, SliceInfo, SliceStatus
from radixloom_operator.story import Chapter, acceptance, event_manifest, transitions

NONE = LLMServiceStatus()
INFO = SliceInfo(
    summary="cpu x1", accelerator="cpu", topology="", chips=0, hosts=1, chips_per_host=0
)


def condition(kind, status, reason="R", message="m"):
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time="2026-01-01T00:00:00Z",
        observed_generation=1,
    )


def status(phase="Ready", *conditions, **more):
    one = SliceStatus(index=0, phase=phase, reason="Why", revision="r", ready_hosts=1, restarts=0)
    return LLMServiceStatus(
        slice=INFO, slices=(one,), conditions=conditions, model_name="m", url="http://u", **more
    )


def reasons(before, after):
    return [one.reason for one in transitions(before, after)]


def test_acceptance_is_told_once():
    accepted = status("Pending", condition("Accepted", "True"))
    assert list(acceptance(NONE, accepted)) == [
        Chapter("Normal", "Accepted", "serves m on slices of cpu x1")
    ]
    assert list(acceptance(accepted, accepted)) == []


def test_a_refusal_is_told_again_when_it_is_another_one():
    first = status("Pending", condition("Accepted", "False", message="a"))
    second = status("Pending", condition("Accepted", "False", message="b"))
    assert [one.reason for one in acceptance(NONE, first)] == ["Refused"]
    assert [one.reason for one in acceptance(first, second)] == ["Refused"]
    assert list(acceptance(second, second)) == []


def test_a_slice_that_gets_ready_is_told():
    assert reasons(status("Starting"), status("Ready")) == ["SliceReady"]


def test_a_slice_that_is_lost_is_told_but_not_one_that_is_replaced():
    assert reasons(status("Ready"), status("Starting")) == ["SliceLost"]
    assert reasons(status("Ready"), status("Draining")) == []


def test_a_failure_is_told_with_its_cause():
    after = status("Failed", condition("Degraded", "True", "CrashLoopBackOff", "model broken"))
    (chapter,) = transitions(status("Starting"), after)
    assert (chapter.type, chapter.reason) == ("Warning", "Why")
    assert "model broken" in chapter.message


def test_nothing_new_is_told_of_the_same_status():
    same = status("Failed", condition("Degraded", "True"), condition("Ready", "False"))
    assert reasons(same, same) == []


def test_the_end_of_a_rollout_is_told_but_not_the_first_start():
    first = status(current_revision="r1")
    assert "RolloutCompleted" not in reasons(NONE, first)
    assert "RolloutCompleted" in reasons(first, status(current_revision="r2"))


def test_serving_is_told_when_it_begins():
    assert "Serving" in reasons(status(), status("Ready", condition("Ready", "True")))


def test_a_write_that_was_refused_is_told_once():
    refused = status("Pending", condition("Degraded", "True", "NameTaken", "Service chat exists"))
    assert "NameTaken" in reasons(status("Pending"), refused)
    assert reasons(refused, refused) == []


def test_an_event_is_about_the_service_and_fits():
    event = event_manifest(
        Chapter("Normal", "R", "x" * 5000), manifest(), now="2026-01-01T00:00:00Z", unique="1"
    )
    assert event["involvedObject"]["uid"] == "u-1"
    assert event["metadata"]["namespace"] == "default"
    assert len(event["message"]) <= 1024  # the API server refuses longer ones
