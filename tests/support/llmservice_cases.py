"""LLMServices that the API server takes; those that it must refuse: `refused_llmservices`.

Read by unit tests (the operator's own reading of a spec) and by tests against a real API server
(the rules in the CustomResourceDefinition).
"""

from dataclasses import dataclass
from typing import Any

from radixloom_operator.naming import API_VERSION, KIND


@dataclass(frozen=True)
class Case:
    """One spec, as a difference from a small sound one."""

    title: str
    change: dict[str, Any]
    """Dotted path in the manifest to its value; None takes the field away."""
    refusal: str | None = None
    """Part of the API server's sentence; None: it is taken."""


def manifest(change: dict[str, Any] | None = None, *, namespace: str = "default") -> dict[str, Any]:
    """Return a small sound LLMService with `change` made to it."""
    result: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "chat", "namespace": namespace, "uid": "u-1", "generation": 1},
        "spec": {"model": {"uri": "hf://acme/tiny"}, "tpu": {"generation": "cpu"}},
    }
    for path, value in (change or {}).items():
        *parents, last = path.split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
    return result


def tpu(generation: str, topology: str, **more: Any) -> dict[str, Any]:
    """Return the change that asks for a TPU slice."""
    return {"spec.tpu": {"generation": generation, "topology": topology, **more}}


SOUND = (
    Case("the smallest", {}),
    Case("a name of 40 characters", {"metadata.name": "a" * 40}),
    Case("scaled to zero", {"spec.replicas": 0}),
    Case("cpu on two hosts", {"spec.tpu": {"generation": "cpu", "hosts": 2}}),
    Case("v5e 2x4 on one host", tpu("v5e", "2x4", chipsPerHost=8)),
    Case("v5e 2x4 on two hosts", tpu("v5e", "2x4", chipsPerHost=4)),
    Case("v6e 1x1", tpu("v6e", "1x1")),
    Case("v6e 16x16 with its hosts said", tpu("v6e", "16x16", chipsPerHost=4)),
    Case("v4 2x2x1", tpu("v4", "2x2x1")),
    Case("v5p 4x4x8", tpu("v5p", "4x4x8", provisioning="Spot", exclusiveNodePool=False)),
    Case("v7x 1x1x1", tpu("v7x", "1x1x1")),
    Case("a claim", {"spec.model.uri": "pvc://weights/llama/8b"}),
    Case(
        "a bucket cached in a claim",
        {
            "spec.model.uri": "gs://bucket/llama",
            "spec.model.cache": {"mode": "PVC", "claimName": "weights"},
        },
    ),
    Case(
        "a gated model",
        {"spec.model.revision": "main", "spec.model.tokenSecretRef": {"name": "hub"}},
    ),
    Case(
        "everything of the engine",
        {
            "spec.engine": {
                "image": "runtime:1",
                "imagePullPolicy": "Never",
                "maxModelLen": 4096,
                "dtype": "bfloat16",
                "quantization": "int8",
                "kvCacheDtype": "fp8",
                "port": 9000,
                "args": ["--step-tokens", "512"],
                "env": [{"name": "RADIXLOOM_LOG_LEVEL", "value": "debug"}],
                "hostResources": {"cpu": 2, "memory": "8Gi"},
            }
        },
    ),
    Case("compiled steps in a claim", {"spec.compileCache": {"mode": "PVC", "claimName": "xla"}}),
    Case("no compiled steps kept", {"spec.compileCache": {"mode": "Disabled"}}),
    Case(
        "everything of the pod template",
        {
            "spec.podTemplate": {
                "labels": {"team": "search"},
                "annotations": {"note": "x"},
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "serviceAccountName": "reader",
                "priorityClassName": "high",
                "imagePullSecrets": [{"name": "pull"}],
            }
        },
    ),
    Case(
        "drain, start and rollout",
        {
            "spec.drain": {"preStopSeconds": 0, "gracePeriodSeconds": 1},
            "spec.startup": {"timeoutSeconds": 60},
            "spec.rollout": {"maxUnavailable": 100},
            "spec.paused": True,
        },
    ),
    Case(
        "routers",
        {
            "spec.routing": {
                "mode": "Router",
                "replicas": 3,
                "args": ["--hold-seconds", "600"],
                "resources": {"cpu": "1", "memory": "512Mi"},
            }
        },
    ),
    Case(
        "keys for leaders and routers",
        {
            "spec.routing": {"mode": "Router"},
            "spec.apiKeys": {"secretKeyRef": {"name": "clients", "key": "keys.txt"}},
        },
    ),
    Case(
        "adapters from every kind of place",
        {
            "spec.model.tokenSecretRef": {"name": "hub"},
            "spec.model.adapters": [
                {"name": "sql", "source": "hf://acme/sql@v2"},
                {"name": "tone", "source": "gs://adapters/tone"},
                {"name": "legal", "source": "pvc://adapters/legal"},
                {"name": "medical", "source": "pvc://adapters/medical/v3"},
                {"name": "code", "source": "oci://registry.example.com/adapters/code:1"},
            ],
        },
    ),
    Case(
        "adapters of a model in place, one by a token",
        {
            "spec.model": {
                "uri": "pvc://weights/tiny",
                "tokenSecretRef": {"name": "hub"},
                "adapters": [
                    {"name": "own", "source": "pvc://weights/own"},
                    {"name": "sql", "source": "hf://acme/sql"},
                ],
            },
            "spec.engine.args": ["--max-lora-rank", "64"],
        },
    ),
    Case(
        "a pool of a Gateway",
        {
            "spec.routing": {
                "mode": "InferencePool",
                "inferencePool": {
                    "endpointPicker": {"name": "picker", "port": 9003, "failureMode": "FailOpen"},
                    "gateways": [{"name": "inference", "namespace": "gateways"}],
                    "hostnames": ["chat.example.com", "*.chat.example.com"],
                    "requestTimeoutSeconds": 600,
                },
            }
        },
    ),
    Case(
        "a pool for routes of one's own",
        {
            "spec.engine.port": 9000,
            "spec.routing": {
                "mode": "InferencePool",
                "inferencePool": {"endpointPicker": {"name": "picker"}},
            },
        },
    ),
    Case(
        "clients by name",
        {"spec.network": {"clients": [{"podLabels": {"app": "web"}}], "policy": True}},
    ),
    Case(
        "what a change may cost",
        {
            "spec.rollout": {
                "maxSurge": 1,
                "maxUnavailable": 0,
                "progressDeadlineSeconds": 600,
                "rollbackOnFailure": True,
                "revisionHistoryLimit": 0,
            },
            "spec.restart": {"maxRestarts": 0, "windowSeconds": 60},
        },
    ),
    Case(
        "replicas that follow the load",
        {"spec.autoscaling": {"maxReplicas": 4, "target": {"value": 16}}},
    ),
    Case(
        "everything of autoscaling",
        {
            "spec.autoscaling": {
                "minReplicas": 2,
                "maxReplicas": 2,
                "target": {"metric": "KVCachePercent", "value": 100},
                "scaleUp": {"stabilizationSeconds": 60},
                "scaleDown": {"stabilizationSeconds": 0},
            }
        },
    ),
    Case(
        "autoscaling to zero",
        {
            "spec.routing": {"mode": "Router"},
            "spec.autoscaling": {
                "minReplicas": 0,
                "maxReplicas": 2,
                "scaleToZeroAfterSeconds": 60,
                "target": {"value": 1},
            },
        },
    ),
    Case("spot nodes", {**tpu("v6e", "2x2"), "spec.tpu.provisioning": "Spot"}),
    Case(
        "reserved nodes of another project",
        {
            **tpu("v5p", "2x2x1"),
            "spec.tpu.provisioning": "Reservation",
            "spec.tpu.reservation": "projects/acme-ml/reservations/big",
        },
    ),
    Case("a queue", {**tpu("v5e", "4x4"), "spec.tpu.queueName": "team-a"}),
    Case("copies of the attention", {**tpu("v5e", "4x4"), "spec.parallelism": {"data": 4}}),
    Case("an image as the model", {"spec.model.uri": "oci://registry.example.com/models/llama:1"}),
)
