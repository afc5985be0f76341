"""A slice of two hosts is placed on two TPU nodes with the environment that libtpu needs.

The nodes offer `google.com/tpu` and have no TPU; version 0.1 serves from one host. So this is about
placement and environment, and about a status that does not call such a slice ready.
"""

import pytest
from support.space import manifest

NAME = "pair"
HOSTS = 2
CHIPS = 4

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180, func_only=True)]


@pytest.fixture(scope="module")
def placed(installation, spaces):
    space = spaces("e2e-tpu")
    tpu = {"generation": "v5e", "topology": "2x4", "chipsPerHost": CHIPS}
    space.apply(manifest(NAME, tpu=tpu, engine={"hostResources": {"cpu": "50m", "memory": "1Gi"}}))
    space.wait_until(
        "both hosts are placed",
        lambda: sum("nodeName" in pod["spec"] for pod in space.pods(NAME)) == HOSTS,
        NAME,
    )
    yield space
    space.kubectl("delete", "llmservice", NAME, "--timeout=120s", timeout_seconds=150)


def environment(pod):
    return {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}


def test_the_hosts_of_a_slice_are_on_different_tpu_nodes(placed):
    nodes = {pod["spec"]["nodeName"] for pod in placed.pods(NAME)}
    assert len(nodes) == HOSTS
    for name in nodes:
        labels = placed.cluster.get("node", name)["metadata"]["labels"]
        assert labels["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"
        assert labels["cloud.google.com/gke-tpu-topology"] == "2x4"


def test_each_host_takes_all_chips_of_its_node(placed):
    for pod in placed.pods(NAME):
        resources = pod["spec"]["containers"][0]["resources"]
        for section in ("requests", "limits"):
            assert resources[section]["google.com/tpu"] == str(CHIPS)


def test_each_host_knows_its_rank_and_the_names_of_all(placed):
    first, second = placed.pods(NAME)
    for index, pod in enumerate((first, second)):
        variables = environment(pod)
        worker = variables["TPU_WORKER_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert worker == "metadata.labels['apps.kubernetes.io/pod-index']"
        assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == str(index)
        hosts = variables["TPU_WORKER_HOSTNAMES"]["value"].split(",")
        assert [host.partition(".")[0] for host in hosts] == [f"{NAME}-s0-0", f"{NAME}-s0-1"]
        assert variables["TPU_TOPOLOGY"]["value"] == "2x4"
        assert variables["RADIXLOOM_NUM_HOSTS"]["value"] == str(HOSTS)
        assert variables["RADIXLOOM_LEADER_ADDRESS"]["value"].startswith(f"{NAME}-s0-0.")
    assert environment(first)["TPU_WORKER_HOSTNAMES"] == environment(second)["TPU_WORKER_HOSTNAMES"]


def test_the_hosts_share_a_secret_that_is_not_in_their_spec(placed):
    for pod in placed.pods(NAME):
        source = environment(pod)["RADIXLOOM_WIRE_SECRET"]["valueFrom"]["secretKeyRef"]
        assert placed.get("secret", source["name"])["data"][source["key"]]


def test_a_slice_that_cannot_serve_is_not_called_ready(placed):
    placed.wait_until(
        "the status describes the slice",
        lambda: placed.status(NAME).get("slice", {}).get("hosts") == HOSTS,
        NAME,
    )
    assert placed.condition(NAME, "Ready")["status"] == "False"
    assert placed.status(NAME).get("readyReplicas", 0) == 0


def test_a_second_slice_waits_for_nodes_and_the_status_says_so(placed):
    placed.kubectl("scale", "llmservice", NAME, "--replicas=2")
    placed.wait_until(
        "the status tells that TPUs are missing",
        lambda: (
            "google.com/tpu" in placed.condition(NAME, "Ready").get("message", "")
            or "google.com/tpu" in placed.condition(NAME, "Degraded").get("message", "")
        ),
        NAME,
    )
    placed.kubectl("scale", "llmservice", NAME, "--replicas=1")
