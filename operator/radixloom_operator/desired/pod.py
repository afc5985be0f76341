"""The pod of one host: the engine, and before it, where needed, the fetching of the model.

A StatefulSet has one template, so leader and followers start alike: `radixloom serve` reads its
place from RADIXLOOM_RANK. **Every rank answers the three health paths on the http port**: a
follower reports itself started at once, so that it may wait for its leader, whose own start stands
for the slice's; and ready while it runs the leader's plans. Clients reach leaders alone because of
the Service's selector; followers have no API.

Every pod is fit for a namespace that enforces the "restricted" pod security standard.
"""

import math
from typing import Any

from radixloom_operator.api.sources import ModelSource
from radixloom_operator.api.types import LLMService
from radixloom_operator.desired import adapters, environment, keys, placement, volumes
from radixloom_operator.naming import (
    GENERATION_LABEL,
    SLICE_INDEX_LABEL,
    SLICE_LABEL,
    common_labels,
    slice_name,
)
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.settings import COORDINATOR_PORT, PLAN_PORT, TPU_PROCESS_PORT
from radixloom_runtime.topology import Slice

ENGINE = "engine"
FETCH = "fetch"
NON_ROOT_ID = 65532
_STARTUP_PERIOD_SECONDS = 5

Container = dict[str, Any]


def pod_template(
    service: LLMService, hardware: Slice, index: int, settings: OperatorSettings
) -> dict[str, Any]:
    """Return the template of slice `index`, without its revision."""
    user = service.spec.pod_template
    metadata: dict[str, Any] = {
        "labels": {
            **user.labels,
            **common_labels(service.name),
            SLICE_LABEL: slice_name(service.name, index),
            SLICE_INDEX_LABEL: str(index),
        }
    }
    if hardware.accelerator is not None:
        metadata["labels"][GENERATION_LABEL] = hardware.generation.value
    if user.annotations:
        metadata["annotations"] = {**user.annotations}
    return {"metadata": metadata, "spec": _pod_spec(service, hardware, index, settings)}


def _pod_spec(
    service: LLMService, hardware: Slice, index: int, settings: OperatorSettings
) -> dict[str, Any]:
    user = service.spec.pod_template
    optional = {
        "initContainers": _fetch_containers(service, settings),
        "nodeSelector": placement.node_selector(service, hardware),
        "tolerations": placement.tolerations(service, hardware),
        "affinity": placement.affinity(service, hardware, index),
        "priorityClassName": user.priority_class_name,
        "imagePullSecrets": [{"name": ref.name} for ref in user.image_pull_secrets],
    }
    return {
        "serviceAccountName": user.service_account_name or service.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": service.spec.drain.grace_period_seconds,
        "securityContext": {
            **security_context(),
            "fsGroup": NON_ROOT_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        **{key: value for key, value in optional.items() if value},
        "containers": [_engine_container(service, hardware, index, settings)],
        "volumes": [
            *volumes.volumes(service),
            *adapters.pod_volumes(service.spec.model),
            *keys.volumes(service),
        ],
    }


def _engine_container(
    service: LLMService, hardware: Slice, index: int, settings: OperatorSettings
) -> Container:
    engine = service.spec.engine
    container = {
        "name": ENGINE,
        **image(service, settings),
        "command": ["radixloom"],
        "args": ["serve", *engine.args],
        "env": environment.engine_environment(service, hardware, index),
        "ports": _ports(service, hardware),
        "resources": placement.resources(service, hardware),
        **_probes(service),
        "volumeMounts": [
            *volumes.engine_mounts(service),
            *adapters.engine_mounts(service.spec.model),
            *keys.mounts(service),
        ],
        **CONTAINER_BASE,
    }
    return {**container, **pre_stop(service)}


def pre_stop(service: LLMService) -> dict[str, Any]:
    """Return the pause before SIGTERM, in which endpoints forget the pod."""
    pause = service.spec.drain.pre_stop_seconds
    return {"lifecycle": {"preStop": {"sleep": {"seconds": pause}}}} if pause else {}


def security_context() -> dict[str, Any]:
    """Return what the "restricted" standard asks of a pod; without its volumes' group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": NON_ROOT_ID,
        "runAsGroup": NON_ROOT_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _fetch_containers(service: LLMService, settings: OperatorSettings) -> list[Container]:
    """Return what brings model and adapters, one after another; nothing that is there already."""
    model = service.spec.model
    source = volumes.fetch_source(model)
    wanted = [adapters.Fetch(FETCH, source, volumes.model_path(model))] if source else []
    mounts = [*adapters.fetch_mounts(model), volumes.SCRATCH_MOUNT]
    return [
        {
            "name": one.container,
            **image(service, settings),
            "command": ["radixloom"],
            "args": ["fetch", one.source, "--output", one.folder],
            "env": [{"name": "HOME", "value": volumes.SCRATCH_PATH}, *_token(model, one.source)],
            "volumeMounts": mounts,
            **CONTAINER_BASE,
        }
        for one in (*wanted, *adapters.fetches(model))
    ]


def _token(model: ModelSource, source: str) -> list[dict[str, Any]]:
    reference = model.token_secret_ref
    if reference is None or not source.startswith("hf://"):
        return []
    key = {"name": reference.name, "key": reference.key}
    return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": key}}]


def image(service: LLMService, settings: OperatorSettings) -> dict[str, str]:
    """Return the runtime's image, and when it is pulled."""
    engine = service.spec.engine
    return {
        "image": engine.image or settings.runtime_image,
        "imagePullPolicy": (engine.image_pull_policy or settings.image_pull_policy).value,
    }


def _ports(service: LLMService, hardware: Slice) -> list[dict[str, Any]]:
    ports = {"http": service.spec.engine.port}
    if hardware.hosts > 1:
        ports |= {"plan": PLAN_PORT, "coordinator": COORDINATOR_PORT}
        if hardware.accelerator is not None:
            ports["tpu-process"] = TPU_PROCESS_PORT
    return [
        {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()
    ]


def _probes(service: LLMService) -> dict[str, Any]:
    """Return the probes: long patience before started, short after.

    Liveness asks whether the process answers at all, so that a long step never kills it.
    """
    tries = math.ceil(service.spec.startup.timeout_seconds / _STARTUP_PERIOD_SECONDS)
    return {
        "startupProbe": probe("/startupz", period=_STARTUP_PERIOD_SECONDS, failures=tries),
        "readinessProbe": probe("/readyz", period=5, failures=3),
        "livenessProbe": probe("/healthz", period=10, failures=6),
    }


def probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    """Return a probe of the http port."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


CONTAINER_BASE: dict[str, Any] = {
    # the last lines of a crashed engine become its termination message, and the status tells them
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
