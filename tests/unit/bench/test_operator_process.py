"""Whose writes an audit log tells of."""

import json

from bench.operator_process import LEASES, writes_of
from hack.cluster.bare import BareCluster


def line(account: str, verb: str, resource: str, second: int) -> str:
    event = {
        "verb": verb,
        "user": {"username": account},
        "objectRef": {"resource": resource, "name": "x"},
        "stageTimestamp": f"2026-01-01T00:00:{second:02}.500000Z",
    }
    return json.dumps(event)


def test_an_operators_writes_are_those_of_its_account_but_for_the_lease(tmp_path):
    a, b = (f"system:serviceaccount:{LEASES}:{name}" for name in "ab")
    lines = [
        line(a, "patch", "statefulsets", 1),
        line(a, "update", "leases", 2),
        line(b, "create", "events", 3),
        line("system:serviceaccount:kube-system:statefulset-controller", "create", "pods", 4),
        line("kubernetes-admin", "create", "llmservices", 5),
    ]
    log = tmp_path / "audit.log"
    log.write_text("\n".join(lines) + "\n")
    cluster = BareCluster(tmp_path / "kubeconfig", log, tmp_path)
    assert [one.what for one in writes_of(cluster, "a")] == ["patch statefulsets/x"]
    both = writes_of(cluster, "ab")
    assert [one.what for one in both] == ["patch statefulsets/x", "create events/x"]
    assert both[1].seconds - both[0].seconds == 2
