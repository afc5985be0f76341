"""Whole stories: a service, an API server, and the operator between them."""

import contextlib

import pytest
from support.fake_api_server import fake_api_server
from support.kubernetes_objects import CRASHING
from support.llmservice_cases import tpu
from support.play import Play

from radixloom_operator.errors import ClusterError
from radixloom_operator.settings import OperatorSettings

SETTINGS = OperatorSettings()


@pytest.fixture
def play(server) -> Play:
    return Play(server)


def test_a_new_service_gets_its_objects_and_serves(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    assert play.store.names("statefulsets") == ["chat-s0", "chat-s1"]
    assert play.store.names("services") == ["chat", "chat-hosts"]
    assert play.store.names("poddisruptionbudgets") == ["chat"]
    assert play.store.names("serviceaccounts") == ["chat"]
    assert play.condition("Ready") == ("True", "Serving")
    assert play.status("readyReplicas") == 2
    assert play.told() == [
        "Accepted", "SliceCreated", "SliceCreated", "SliceReady", "SliceReady", "Serving",
    ]  # fmt: skip


def test_a_settled_service_costs_no_writes(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    before = len(play.store.writes)
    for _ in range(5):
        assert play.turn()
    assert play.store.writes[before:] == []


def test_a_settled_service_of_several_hosts_does_not_even_ask_for_its_secret(play):
    play.apply({"spec.tpu": {"generation": "cpu", "hosts": 2}})
    play.settle()
    asked: list[str] = []
    play.store.fault = lambda method, path, number: asked.append(method)
    assert play.turn()
    assert set(asked) == {"GET"}


def test_a_secret_that_was_deleted_is_made_again_for_pods_that_wait_for_it(play):
    play.apply({"spec.tpu": {"generation": "cpu", "hosts": 2}})
    play.settle()
    for path in [path for path in play.store.objects if "/secrets/" in path or "/pods/" in path]:
        del play.store.objects[path]
    play.turn()
    assert play.store.names("secrets") == ["chat-wire"]


def test_every_object_belongs_to_the_service_and_has_no_finalizer(play):
    play.apply({"spec.tpu": {"generation": "cpu", "hosts": 2}})
    play.settle()
    kinds = ("statefulsets", "services", "poddisruptionbudgets", "serviceaccounts", "secrets")
    kinds += ("networkpolicies", "controllerrevisions")
    for kind in kinds:
        for name in play.store.names(kind):
            metadata = play.store.find(kind, name)["metadata"]
            (owner,) = metadata["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == ("u-1", True)
            assert "finalizers" not in metadata


def test_scaling_down_removes_the_newest_slices(play):
    play.apply({"spec.replicas": 3})
    play.settle()
    play.apply({"spec.replicas": 1})
    play.settle()
    assert play.store.names("statefulsets") == ["chat-s0"]
    assert play.told()[-2:] == ["ScaledDown", "ScaledDown"]
    assert play.condition("Ready") == ("True", "Serving")


def test_a_change_reaches_one_slice_after_the_other(play):
    play.apply({"spec.replicas": 3})
    play.settle()
    play.apply({"spec.replicas": 3, "spec.engine.image": "runtime:2"})
    play.turn()
    assert play.condition("Ready") == ("False", "RollingOut")
    assert len(play.store.names("pods")) == 2
    for _ in range(3):
        play.store.run_statefulsets()
        play.turn()
        assert len(play.store.names("pods")) >= 2
    play.settle()
    assert play.condition("Progressing") == ("False", "Complete")
    assert play.told().count("SliceReplaced") == 3
    assert "RolloutCompleted" in play.told()
    images = {
        play.store.find("statefulsets", name)["spec"]["template"]["spec"]["containers"][0]["image"]
        for name in play.store.names("statefulsets")
    }
    assert images == {"runtime:2"}


def test_a_broken_revision_stops_and_a_mended_one_goes_on(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    play.apply({"spec.replicas": 2, "spec.engine.image": "broken:1"})
    for _ in range(6):
        play.turn()
        play.store.run_statefulsets(status=CRASHING)
    assert play.condition("Degraded") == ("True", "CrashLoopBackOff")
    assert play.status("readyReplicas") == 1
    play.apply({"spec.replicas": 2, "spec.engine.image": "mended:1"})
    play.settle()
    assert play.condition("Ready") == ("True", "Serving")
    assert play.condition("Degraded")[0] == "False"


def test_a_paused_service_keeps_its_slices(play):
    play.apply()
    play.settle()
    play.apply({"spec.paused": True, "spec.engine.image": "runtime:2"})
    play.settle()
    assert play.condition("Progressing") == ("False", "Paused")
    assert play.condition("Ready") == ("False", "Paused")
    assert play.condition("Serving") == ("True", "Serving")
    assert "SliceReplaced" not in play.told()


def test_edited_and_deleted_objects_come_back_and_foreign_fields_stay(play):
    play.apply()
    play.settle()
    wanted = play.snapshot()
    client_service = play.store.find("services", "chat")
    client_service["spec"]["selector"] = {"app": "mine"}
    client_service["metadata"]["labels"]["team"] = "search"
    play.store.find("statefulsets", "chat-s0")["spec"]["replicas"] = 0
    for path in list(play.store.objects):
        if path.endswith(("/poddisruptionbudgets/chat", "/serviceaccounts/chat")):
            del play.store.objects[path]
    play.settle(3)
    assert play.store.find("services", "chat")["metadata"]["labels"]["team"] == "search"
    play.store.find("services", "chat")["metadata"]["labels"].pop("team")
    assert play.snapshot() == wanted
    assert play.told().count("Repaired") == 4


def test_a_deleted_slice_is_made_again(play):
    play.apply()
    play.settle()
    for path in [path for path in play.store.objects if "/statefulsets/" in path]:
        del play.store.objects[path]
    play.settle(3)
    assert play.store.names("statefulsets") == ["chat-s0"]
    assert "Repaired" in play.told()


def test_own_account_goes_when_another_is_named(play):
    play.apply()
    play.settle()
    play.apply({"spec.podTemplate.serviceAccountName": "reader"})
    play.settle()
    assert play.store.names("serviceaccounts") == []


def test_the_wire_secret_is_made_once_and_never_changed(play):
    play.apply(tpu("v5e", "2x4", chipsPerHost=4))
    play.settle()
    secret = play.store.find("secrets", "chat-wire")["stringData"]["secret"]
    assert len(secret) >= 32
    play.settle()
    assert play.store.find("secrets", "chat-wire")["stringData"]["secret"] == secret


def test_a_refused_spec_touches_nothing_that_serves(play):
    play.apply()
    play.settle()
    serving = {path: one for path, one in play.snapshot().items() if "llmservices" not in path}
    play.apply(tpu("v5e", "2x4"))
    play.settle()
    assert play.condition("Accepted") == ("False", "InvalidTopology")
    assert play.status("readyReplicas") == 1
    after = {path: one for path, one in play.snapshot().items() if "llmservices" not in path}
    assert after == serving
    assert play.told().count("Refused") == 1


def test_a_taken_name_is_told_and_the_rest_goes_on(play):
    play.apply()
    mine = {"metadata": {"name": "chat", "uid": "x", "labels": {}}, "spec": {}}
    play.store.objects["/api/v1/namespaces/default/services/chat"] = mine
    assert not play.turn()
    assert play.condition("Degraded") == ("True", "NameTaken")
    assert play.store.names("statefulsets") == ["chat-s0"]
    assert play.store.find("services", "chat") == mine
    assert play.told().count("NameTaken") == 1


def test_a_refusal_of_the_api_server_is_told_in_its_own_words(play):
    play.apply()
    play.store.fault = lambda method, path, number: (
        403 if method == "PATCH" and "statefulsets" in path else None
    )
    assert not play.turn()
    assert play.condition("Ready") == ("False", "ApplyRefused")
    play.store.fault = lambda method, path, number: None
    play.settle()
    assert play.condition("Ready") == ("True", "Serving")


def test_a_service_on_its_way_out_is_left_alone(play):
    play.apply({"metadata.deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert play.turn()
    assert play.store.writes == []


def test_a_status_of_another_version_is_written_anew(play):
    play.apply()
    play.store.find("llmservices", "chat")["status"] = {"phase": "Fine", "replicas": "many"}
    play.settle()
    assert play.condition("Ready") == ("True", "Serving")


def test_a_lost_event_changes_nothing(play):
    play.apply()
    play.store.fault = lambda method, path, number: 500 if path.endswith("/events") else None
    play.settle()
    assert play.condition("Ready") == ("True", "Serving")


def image_of(play, name: str = "chat-s0") -> str:
    template = play.store.find("statefulsets", name)["spec"]["template"]
    return template["spec"]["containers"][0]["image"]


def test_an_upgrade_of_the_operator_restarts_nothing(play):
    play.apply({"spec.replicas": 2})
    play.settle()
    before = len(play.store.writes)
    play.settings = OperatorSettings(runtime_image="radixloom-runtime:2")
    play.settle()
    assert play.store.writes[before:] == []
    play.apply({"spec.replicas": 2, "spec.engine.args": ["--step-tokens", "64"]})
    play.settle()
    assert image_of(play) == "radixloom-runtime:2", "with the next change"


def test_a_change_that_failed_is_undone_where_the_spec_says_so(play):
    rollout = {"rollbackOnFailure": True, "progressDeadlineSeconds": 60}
    play.apply({"spec.replicas": 2, "spec.rollout": rollout})
    play.settle()
    good = image_of(play)
    play.apply({"spec.replicas": 2, "spec.rollout": rollout, "spec.engine.image": "broken:1"})
    for _ in range(70):
        play.turn()
        play.store.run_statefulsets(status=CRASHING)
    assert image_of(play, "chat-s1") == good
    for path in [path for path in play.store.objects if "/pods/" in path]:
        del play.store.objects[path]
    play.settle()
    assert play.condition("Stalled") == ("True", "RolledBack")
    assert play.condition("Ready") == ("False", "RolledBack")
    assert play.condition("Serving") == ("True", "Serving")
    assert {image_of(play, name) for name in play.store.names("statefulsets")} == {good}
    play.apply({"spec.replicas": 2, "spec.rollout": rollout, "spec.engine.image": "mended:1"})
    play.settle()
    assert play.condition("Ready") == ("True", "Serving")
    assert play.condition("Stalled") == ("False", "AsExpected")


def test_a_remembered_revision_is_served_again(play):
    play.apply()
    play.settle()
    first = play.status("currentRevision")
    play.apply({"spec.engine.image": "runtime:2"})
    play.settle()
    assert image_of(play) == "runtime:2"
    assert len(play.store.names("controllerrevisions")) == 2
    play.apply({"spec.engine.image": "runtime:2", "spec.rollout.revision": first})
    play.settle()
    assert play.status("currentRevision") == first
    assert image_of(play) == SETTINGS.runtime_image
    play.apply({"spec.engine.image": "runtime:2", "spec.rollout.revision": "unknown"})
    play.settle()
    assert play.condition("Accepted") == ("False", "RevisionNotFound")
    assert image_of(play) == SETTINGS.runtime_image


def test_a_slice_added_for_a_rollout_serves_meanwhile_and_goes(play):
    rollout = {"maxSurge": 1, "maxUnavailable": 0}
    play.apply({"spec.replicas": 2, "spec.rollout": rollout})
    play.settle()
    play.apply({"spec.replicas": 2, "spec.rollout": rollout, "spec.engine.image": "runtime:2"})
    most = 0
    for _ in range(12):
        play.turn()
        most = max(most, len(play.store.names("statefulsets")))
        assert len(play.store.names("pods")) >= 2
        play.store.run_statefulsets()
    assert most == 3
    assert play.store.names("statefulsets") == ["chat-s0", "chat-s1"]
    assert image_of(play, "chat-s0") == image_of(play, "chat-s1") == "runtime:2"
    assert play.condition("Ready") == ("True", "Serving")


def test_a_lost_host_restarts_its_slice_once_and_no_other(play):
    play.apply({"spec.replicas": 2, "spec.tpu": {"generation": "cpu", "hosts": 2}})
    play.settle()

    def uids(index: int) -> set[str]:
        names = [f"chat-s{index}-{host}" for host in range(2)]
        return {play.store.find("pods", name)["metadata"]["uid"] for name in names}

    lost, other = uids(0), uids(1)
    del play.store.objects["/api/v1/namespaces/default/pods/chat-s0-1"]
    play.store.run_statefulsets()
    play.settle()
    assert lost.isdisjoint(uids(0))
    assert other == uids(1)
    assert play.told().count("SliceRestarted") == 1
    (first, second) = play.status("slices")
    assert (first["restarts"], second["restarts"]) == (1, 0)
    assert first["lastRestart"]["reason"] == "PodLost"
    assert play.condition("Ready") == ("True", "Serving")


CHANGE = {"spec.replicas": 2, "spec.engine.image": "runtime:2"}


def roll_out(play, *, failing_request: int | None = None, status: int = 500) -> None:
    """Play a rollout; from request `failing_request` on one fails, as when the operator dies."""
    play.apply({"spec.replicas": 3})
    play.settle(4)
    first = play.store.requests
    play.store.fault = lambda method, path, number: (
        status if failing_request is not None and number == first + failing_request else None
    )
    play.apply(CHANGE)
    for _ in range(14):
        with contextlib.suppress(ClusterError):
            play.turn()
        play.store.run_statefulsets()


@pytest.mark.slow
@pytest.mark.parametrize("status", [409, 429, 500])
def test_a_failure_at_any_request_of_a_rollout_ends_in_the_same_world(status):
    def end_state(failing_request: int | None) -> tuple[dict, int]:
        with fake_api_server() as server:
            play = Play(server)
            roll_out(play, failing_request=failing_request, status=status)
            assert play.condition("Ready") == ("True", "Serving")
            return play.snapshot(), play.store.requests

    expected, requests = end_state(None)
    for failing_request in range(1, min(requests, 45), 4):
        found, _ = end_state(failing_request)
        assert found == expected
