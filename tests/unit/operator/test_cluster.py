"""Requests as the API server sees them, and its answers as we read them."""

import pytest
from support.kubernetes_objects import OWNER_UID, pod, statefulset
from support.llmservice_cases import manifest

from radixloom_operator.cluster import service_of
from radixloom_operator.connection import error_of
from radixloom_operator.errors import ClusterError, NameTakenError, RefusedError
from radixloom_operator.naming import Key

KEY = Key("default", "chat")


def owned(name="chat", uid=OWNER_UID):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"serving.radixloom.dev/service": "chat"},
            "ownerReferences": [{"uid": uid, "controller": True}],
        },
        "spec": {"ports": [{"name": "http", "port": 8000}]},
    }


def test_a_service_that_is_not_there_is_none(server):
    _, cluster = server
    assert cluster.service(KEY) is None


def test_services_are_listed_in_all_namespaces_or_in_those_named(server):
    store, cluster = server
    store.put_service(manifest(namespace="a"))
    store.put_service(manifest(namespace="b"))
    assert cluster.keys([]) == [Key("a", "chat"), Key("b", "chat")]
    assert cluster.keys(["b"]) == [Key("b", "chat")]


def test_world_holds_what_carries_the_label_and_says_its_kind(server):
    store, cluster = server
    cluster.apply(owned())
    other = owned("other")
    other["metadata"]["labels"] = {"serving.radixloom.dev/service": "else"}
    cluster.apply(other)
    store.objects["/apis/apps/v1/namespaces/default/statefulsets/chat-s0"] = statefulset(0)
    store.objects["/api/v1/namespaces/default/pods/chat-s0-0"] = pod(0)
    world = cluster.world(KEY)
    assert [(one["apiVersion"], one["kind"]) for one in world.shared] == [("v1", "Service")]
    assert (len(world.statefulsets), len(world.pods)) == (1, 1)


def test_an_object_of_somebody_else_is_never_touched(server):
    store, cluster = server
    cluster.apply(owned(uid="somebody"))
    with pytest.raises(NameTakenError, match="give the LLMService another name"):
        cluster.create(owned(), owner_uid=OWNER_UID)
    assert len(store.writes) == 1


def test_own_object_that_lost_its_label_is_taken_back(server):
    store, cluster = server
    stray = owned()
    stray["metadata"]["labels"] = {}
    cluster.apply(stray)
    cluster.create(owned(), owner_uid=OWNER_UID)
    assert store.find("services", "chat")["metadata"]["labels"]


def test_deleting_what_is_gone_or_has_been_made_anew_does_nothing(server):
    store, cluster = server
    cluster.delete("Service", "default", "chat", uid="u")
    cluster.apply(owned())
    cluster.delete("Service", "default", "chat", uid="of an earlier one")
    assert store.names("services") == ["chat"]


def test_status_of_a_namesake_is_not_written(server):
    store, cluster = server
    store.put_service(manifest())
    with pytest.raises(ClusterError, match="uid"):
        cluster.apply_status(KEY, "of an earlier one", {"replicas": 1})


@pytest.mark.parametrize(
    ("status", "kind"), [(403, RefusedError), (422, RefusedError), (500, ClusterError)]
)
def test_the_api_servers_sentence_is_kept(server, status, kind):
    store, cluster = server
    store.fault = lambda method, path, number: status
    with pytest.raises(kind, match=f"fault {status}") as caught:
        cluster.apply(owned())
    assert caught.value.status == status
    assert isinstance(caught.value, RefusedError) == (kind is RefusedError)


def test_a_value_of_the_wrong_kind_is_a_refusal_although_the_status_says_a_defect():
    answer = b'{"message": "failed: unable to convert unstructured object to apps/v1: lots"}'
    assert isinstance(error_of(500, "PATCH x", answer), RefusedError)


def test_an_answer_that_is_no_json_is_told_as_it_is():
    assert "Bad Gateway" in str(error_of(502, "GET x", b"<html>Bad Gateway</html>"))


def test_no_answer_is_an_error_to_be_tried_again(server):
    _, cluster = server
    cluster._connection._api.configuration.host = "http://127.0.0.1:9"
    with pytest.raises(ClusterError, match="no answer"):
        cluster.service(KEY)


def test_an_edit_that_applying_cannot_mend_is_put_back_whole(server):
    store, cluster = server
    failed_once = []

    def duplicate_port(method, path, number):
        if method == "PATCH" and not failed_once:
            failed_once.append(path)
            return 422
        return None

    store.fault = duplicate_port
    cluster.restore(owned())
    assert store.find("services", "chat")["spec"]["ports"][0]["port"] == 8000


def test_watched_object_names_its_service():
    assert service_of({**pod(0), "metadata": {**pod(0)["metadata"], "namespace": "n"}}) == Key(
        "n", "chat"
    )
    assert service_of({"metadata": {"namespace": "n"}}) is None
