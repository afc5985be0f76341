"""Whose `spec.replicas` is, by what the API server writes down."""

import pytest

from radixloom_operator.autoscaling.ownership import owner_elsewhere
from radixloom_operator.naming import SCALE_MANAGER


def entry(manager, *, operation="Update", subresource="", field="f:replicas"):
    fields = {"f:spec": {field: {}}}
    written = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return written | ({"subresource": subresource} if subresource else {})


def owner(*entries):
    return owner_elsewhere({"metadata": {"managedFields": [*entries]}})


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (entry("kubectl-client-side-apply"),),
        (entry("kubectl-edit"), entry(SCALE_MANAGER, subresource="scale")),
        (entry("argocd", operation="Apply", field="f:model"),),
        (entry("radixloom-operator", operation="Apply", subresource="status", field="f:x"),),
    ],
)
def test_who_writes_it_once_leaves_it_to_us(entries):
    assert owner(*entries) is None


def test_it_is_theirs_who_write_it_through_scale():
    found = owner(
        entry("kubectl-create", field="f:model"),
        entry("kube-controller-manager", subresource="scale"),
    )
    assert found == "kube-controller-manager (through /scale)"


def test_it_is_theirs_whose_manifest_has_it():
    found = owner(entry(SCALE_MANAGER, subresource="scale"), entry("argocd", operation="Apply"))
    assert found == "argocd (by server-side apply)"


def test_an_object_without_a_record_of_its_writers_is_ours():
    assert owner_elsewhere({"metadata": {}}) is None
