"""Sorting live objects into slices."""

from support.kubernetes_objects import (
    IMAGE_MISSING,
    LOADING,
    OWNER_UID,
    pod,
    statefulset,
    unschedulable,
)

from radixloom_operator.observed import Observed, World, observe
from radixloom_operator.pod_state import PodReason


def seen(statefulsets=(), pods=(), shared=()) -> Observed:
    world = World(tuple(statefulsets), tuple(pods), tuple(shared))
    return observe(world, owner_uid=OWNER_UID)


def test_a_slice_is_ready_when_every_host_is_there_and_the_leader_is_ready():
    hosts = [pod(0, host=0), pod(0, host=1, status=LOADING)]
    assert seen([statefulset(0, hosts=2)], hosts).slice(0).is_ready


def test_a_slice_without_one_of_its_hosts_is_not_ready():
    assert not seen([statefulset(0, hosts=2)], [pod(0, host=0)]).slice(0).is_ready


def test_a_slice_with_a_host_on_its_way_out_is_not_ready():
    hosts = [pod(0, host=0), pod(0, host=1, is_ending=True)]
    assert not seen([statefulset(0, hosts=2)], hosts).slice(0).is_ready


def test_a_slice_whose_leader_loads_is_not_ready():
    hosts = [pod(0, host=0, status=LOADING), pod(0, host=1)]
    assert not seen([statefulset(0, hosts=2)], hosts).slice(0).is_ready


def test_a_slice_is_told_by_its_worst_pod():
    hosts = [
        pod(0, host=0, status=LOADING),
        pod(0, host=1, status=unschedulable("2 Insufficient google.com/tpu")),
        pod(0, host=2, status=IMAGE_MISSING),
    ]
    assert seen([statefulset(0, hosts=3)], hosts).slice(0).worst.reason is PodReason.IMAGE


def test_a_statefulset_without_pods_is_pending():
    worst = seen([statefulset(0, hosts=2)]).slice(0).worst
    assert worst.reason is PodReason.PENDING
    assert "2 of its 2 pods" in worst.message


def test_pods_whose_statefulset_is_gone_are_a_slice_that_does_not_exist():
    found = seen([], [pod(3, is_ending=True)]).slices
    assert [(one.index, one.exists) for one in found] == [(3, False)]


def test_what_an_earlier_namesake_left_is_not_ours():
    foreign = statefulset(0, ownerReferences=[{"uid": "u-0", "controller": True}])
    assert not seen([foreign]).slice(0).exists
    account = {"kind": "ServiceAccount", "metadata": {"name": "chat"}}
    assert seen(shared=[account]).shared == {}


def test_an_object_without_a_slice_index_is_passed_over():
    nameless = statefulset(0, labels={"serving.radixloom.dev/service": "chat"})
    assert seen([nameless]).slices == ()


def test_a_slice_is_updated_when_template_and_pods_are():
    old_pod = pod(0, revision="old")
    assert not seen([statefulset(0)], [old_pod]).slice(0).is_updated("new")
    assert not seen([statefulset(0, revision="old")], [pod(0)]).slice(0).is_updated("new")
    assert seen([statefulset(0)], [pod(0)]).slice(0).is_updated("new")


def test_a_host_is_known_by_its_name_where_the_label_is_missing():
    old_cluster = pod(0, host=1)
    del old_cluster["metadata"]["labels"]["apps.kubernetes.io/pod-index"]
    assert seen([statefulset(0)], [old_cluster]).slice(0).pods[0].host == 1
