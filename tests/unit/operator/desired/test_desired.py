"""The objects of a service, against golden files and against Kubernetes' own schemas."""

from pathlib import Path
from typing import Any

import pytest
from support.golden import assert_golden
from support.llmservice_cases import SOUND, manifest, tpu
from support.object_schema import validate

from radixloom_operator.api.schema import to_yaml
from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import accept
from radixloom_operator.desired import Desired, desired_objects, wire_secret
from radixloom_operator.naming import REVISION_LABEL
from radixloom_operator.settings import OperatorSettings, PullPolicy
from radixloom_runtime.topology import ACCELERATORS, topologies

GOLDEN = Path(__file__).parents[1] / "golden"
SETTINGS = OperatorSettings(
    runtime_image="registry.example/radixloom-runtime:1", image_pull_policy=PullPolicy.ALWAYS
)
POOL = {
    "mode": "InferencePool",
    "inferencePool": {
        "endpointPicker": {"name": "chat-picker"},
        "gateways": [{"name": "inference", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["chat.example.com"],
        "requestTimeoutSeconds": 0,
    },
}
ROWS = [
    (generation, topology, per_host)
    for generation in ACCELERATORS
    for topology in topologies(generation, longest_side=4)
    for per_host in ((4, 8) if topology == "2x4" else (None,))
]


def desired(change: dict[str, Any] | None = None) -> Desired:
    service = accept(manifest(change))
    assert isinstance(service, LLMService)
    return desired_objects(service, SETTINGS)


def pod_spec(found: Desired, index: int = 0) -> dict[str, Any]:
    return found.slices[index]["spec"]["template"]["spec"]


def engine(found: Desired, index: int = 0) -> dict[str, Any]:
    return pod_spec(found, index)["containers"][0]


def environment(found: Desired, index: int = 0) -> dict[str, str]:
    return {
        variable["name"]: variable.get("value", "<from elsewhere>")
        for variable in engine(found, index)["env"]
    }


def all_yaml(found: Desired) -> str:
    return "---\n".join(to_yaml(one) for one in (*found.shared, *found.slices))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cpu", {"spec.model.uri": "pvc://weights/smollm2", "spec.replicas": 2}),
        ("v5e-two-hosts", tpu("v5e", "2x4", chipsPerHost=4)),
        ("cpu-routed", {"spec.model.uri": "pvc://weights/smollm2", "spec.routing.mode": "Router"}),
        ("cpu-pool", {"spec.model.uri": "pvc://weights/smollm2", "spec.routing": POOL}),
        (
            "v6e-one-host-gated-model",
            {
                **tpu("v6e", "2x2", provisioning="Spot"),
                "spec.model": {
                    "uri": "hf://acme/tiny",
                    "revision": "v2",
                    "tokenSecretRef": {"name": "hub", "key": "token"},
                    "cache": {"mode": "PVC", "claimName": "weights"},
                },
                "spec.compileCache": {"mode": "PVC", "claimName": "compiled"},
                "spec.engine.maxModelLen": 8192,
            },
        ),
        (
            "cpu-routed-keys-and-adapters",
            {
                "spec.model": {
                    "uri": "pvc://weights/smollm2",
                    "adapters": [
                        {"name": "tone", "source": "pvc://weights/tone"},
                        {"name": "sql", "source": "hf://acme/sql@v2"},
                        {"name": "legal", "source": "pvc://adapters/legal"},
                    ],
                },
                "spec.routing.mode": "Router",
                "spec.apiKeys": {"secretKeyRef": {"name": "clients", "key": "keys.txt"}},
            },
        ),
    ],
)
def test_objects_are_the_golden_ones(name, change):
    assert_golden(GOLDEN / f"{name}.yaml", all_yaml(desired(change)))


def row_summary(generation: str, topology: str, per_host: int | None) -> dict[str, Any]:
    more = {"chipsPerHost": per_host} if per_host else {}
    found = desired(tpu(generation, topology, **more))
    container = engine(found)
    return {
        "summary": found.hardware.summary,
        "pods": found.slices[0]["spec"]["replicas"],
        "nodeSelector": pod_spec(found)["nodeSelector"],
        "tpu": container["resources"]["limits"]["google.com/tpu"],
        "exclusive": "affinity" in pod_spec(found),
        "env": {
            variable["name"]: _value(variable)
            for variable in container["env"]
            if variable["name"].startswith("TPU_") or variable["name"] in _PLACE
        },
    }


_PLACE = {
    "RADIXLOOM_TENSOR_PARALLEL",
    "RADIXLOOM_NUM_HOSTS",
    "RADIXLOOM_LEADER_ADDRESS",
    "RADIXLOOM_RANK",
}


def _value(variable: dict[str, Any]) -> str:
    if "valueFrom" in variable:
        return variable["valueFrom"]["fieldRef"]["fieldPath"]
    hosts = variable["value"].split(",")
    # the first, the last, and how many: 64 names make no readable diff
    is_long = len(hosts) > 4
    return f"{hosts[0]} … {hosts[-1]} ({len(hosts)})" if is_long else variable["value"]


def test_every_row_of_the_tpu_table_is_the_golden_one():
    rows = [row_summary(*row) for row in ROWS]
    assert_golden(GOLDEN / "tpu-table.yaml", to_yaml(rows))


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.title)
def test_every_object_is_valid_to_kubernetes(case):
    found = desired(case.change)
    for one in (*found.shared, *found.slices, wire_secret(found.service, "s")):
        validate(one)


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.title)
def test_every_pod_keeps_the_restricted_standard(case):
    found = desired({**case.change, "spec.replicas": 1})
    spec = pod_spec(found)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
    allowed = {"emptyDir", "image", "persistentVolumeClaim", "secret"}
    assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])


def test_revision_is_the_same_for_every_slice_and_for_every_reading():
    found = desired({"spec.replicas": 3})
    labels = {one["metadata"]["labels"][REVISION_LABEL] for one in found.slices}
    assert labels == {found.revision.name} == {desired({"spec.replicas": 1}).revision.name}


@pytest.mark.parametrize(
    "change",
    [
        {"spec.engine.image": "other:2"},
        {"spec.engine.args": ["--no-prefix-cache"]},
        {"spec.model.revision": "v3"},
        {"spec.drain.preStopSeconds": 3},
        {"spec.podTemplate.annotations": {"restarted": "today"}},
        tpu("v5e", "2x2"),
    ],
    ids=str,
)
def test_what_changes_a_pod_changes_the_revision(change):
    assert desired(change).revision != desired().revision


@pytest.mark.parametrize(
    "change", [{"spec.replicas": 5}, {"spec.rollout.maxUnavailable": 2}, {"spec.paused": True}]
)
def test_what_changes_no_pod_keeps_the_revision(change):
    assert desired(change).revision == desired().revision


def test_drain_ends_before_the_kill():
    found = desired({"spec.drain": {"preStopSeconds": 10, "gracePeriodSeconds": 120}})
    assert environment(found)["RADIXLOOM_DRAIN_SECONDS"] == "105.0"
    short = desired({"spec.drain": {"preStopSeconds": 0, "gracePeriodSeconds": 3}})
    assert environment(short)["RADIXLOOM_DRAIN_SECONDS"] == "0.0"
    assert "lifecycle" not in engine(short)


def test_startup_probe_waits_as_long_as_asked():
    probe = engine(desired({"spec.startup.timeoutSeconds": 61}))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 61


def test_users_environment_wins_over_ours_and_appears_once():
    change = {"spec.engine.env": [{"name": "RADIXLOOM_LOG_FORMAT", "value": "text"}]}
    variables = engine(desired(change))["env"]
    found = [one["value"] for one in variables if one["name"] == "RADIXLOOM_LOG_FORMAT"]
    assert found == ["text"]


def test_small_numbers_are_asked_for_and_else_no_variable_is_added():
    change = {"spec.engine.quantization": "int8", "spec.engine.kvCacheDtype": "fp8"}
    added = environment(desired(change)).items() - environment(desired({})).items()
    assert dict(added) == {"RADIXLOOM_QUANTIZATION": "int8", "RADIXLOOM_KV_CACHE_DTYPE": "fp8"}


def test_stated_resources_are_limits_but_for_cpu():
    change = {"spec.engine.hostResources": {"cpu": 2, "memory": "8Gi"}}
    resources = engine(desired(change))["resources"]
    assert resources["requests"] == {"cpu": "2", "memory": "8Gi"}
    assert resources["limits"] == {"memory": "8Gi"}


def test_disabled_compile_cache_is_neither_mounted_nor_used():
    found = desired({"spec.compileCache": {"mode": "Disabled"}})
    assert "RADIXLOOM_COMPILE_CACHE_DIR" not in environment(found)
    assert environment(found)["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert all(volume["name"] != "compile-cache" for volume in pod_spec(found)["volumes"])


def test_models_of_one_claim_do_not_share_a_folder():
    folders = {
        environment(desired({"spec.model.uri": uri, "spec.model.revision": revision}))[
            "RADIXLOOM_MODEL"
        ]
        for uri in ("hf://acme/tiny", "hf://acme/tiny-chat")
        for revision in ("main", "v2")
    }
    assert len(folders) == 4


def test_own_service_account_is_not_made_when_another_is_named():
    found = desired({"spec.podTemplate.serviceAccountName": "reader"})
    assert pod_spec(found)["serviceAccountName"] == "reader"
    assert "ServiceAccount" not in {one["kind"] for one in found.shared}


def test_image_and_pull_policy_come_from_the_operator_unless_stated():
    assert engine(desired())["image"] == SETTINGS.runtime_image
    assert engine(desired())["imagePullPolicy"] == "Always"
    stated = engine(desired({"spec.engine": {"image": "x:1", "imagePullPolicy": "Never"}}))
    assert (stated["image"], stated["imagePullPolicy"]) == ("x:1", "Never")


def test_users_pod_labels_never_hide_ours():
    found = desired({"spec.podTemplate.labels": {"serving.radixloom.dev/service": "x", "a": "b"}})
    labels = found.slices[0]["spec"]["template"]["metadata"]["labels"]
    assert labels["serving.radixloom.dev/service"] == "chat"
    assert labels["a"] == "b"


def test_disruption_budget_counts_whole_slices():
    found = desired({**tpu("v5e", "4x4"), "spec.rollout.maxUnavailable": 2})
    budget = next(one for one in found.shared if one["kind"] == "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 8


def test_exclusive_node_pool_can_be_asked_for_and_declined():
    assert "affinity" not in pod_spec(desired(tpu("v5e", "2x2")))
    assert "affinity" in pod_spec(desired(tpu("v5e", "2x2", exclusiveNodePool=True)))
    assert "affinity" not in pod_spec(desired(tpu("v5e", "4x4", exclusiveNodePool=False)))


def test_wire_secret_is_wanted_by_several_hosts_alone():
    assert not desired().needs_wire_secret
    assert desired({"spec.tpu": {"generation": "cpu", "hosts": 2}}).needs_wire_secret
