"""The routers before the leaders of a service, and what belongs to them.

Stateless pods that any node may have: a Deployment. They find leaders by a headless Service, and
are no hosts of a slice: their pods carry a label of their own (naming.ROUTER_LABEL).
"""

from typing import Any

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired import keys, pod
from radixloom_operator.desired.environment import drain_seconds
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.desired.volumes import SCRATCH_PATH
from radixloom_operator.naming import (
    COMPONENT_LABEL,
    FIELD_MANAGER,
    leader_selector,
    leaders_service_name,
    router_name,
    router_selector,
)
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime import router_settings
from radixloom_runtime.settings import HTTP_PORT, LogFormat

ROUTER = "router"
_SCRATCH = "scratch"


def router_objects(service: LLMService, settings: OperatorSettings) -> tuple[Manifest, ...]:
    """Return everything that routers are made of, but for their network policy."""
    return leaders_service(service), deployment(service, settings), disruption_budget(service)


def leaders_service(service: LLMService) -> Manifest:
    """Return the headless Service by which routers find leaders.

    Not yet ready ones, too: routers ask each for its readiness, sooner than DNS hears of it.
    """
    return sealed(
        manifest(
            "v1",
            "Service",
            service,
            leaders_service_name(service.name),
            spec={
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": leader_selector(service.name),
                "ports": [
                    {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"}
                ],
            },
        )
    )


def deployment(service: LLMService, settings: OperatorSettings) -> Manifest:
    """Return the Deployment; a new router is ready before an old one goes."""
    labels = {
        "app.kubernetes.io/name": "radixloom",
        "app.kubernetes.io/instance": service.name,
        COMPONENT_LABEL: ROUTER,
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        **router_selector(service.name),
    }
    return sealed(
        manifest(
            "apps/v1",
            "Deployment",
            service,
            router_name(service.name),
            spec={
                "replicas": service.spec.routing.replicas,
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": router_selector(service.name)},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "template": {
                    "metadata": {"labels": {**service.spec.pod_template.labels, **labels}},
                    "spec": _pod_spec(service, settings),
                },
            },
        )
    )


def disruption_budget(service: LLMService) -> Manifest:
    """Return the budget: an eviction takes one router at a time."""
    return sealed(
        manifest(
            "policy/v1",
            "PodDisruptionBudget",
            service,
            router_name(service.name),
            spec={
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": router_selector(service.name)},
            },
        )
    )


def _pod_spec(service: LLMService, settings: OperatorSettings) -> dict[str, Any]:
    user = service.spec.pod_template
    optional = {
        "priorityClassName": user.priority_class_name,
        "imagePullSecrets": [{"name": ref.name} for ref in user.image_pull_secrets],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": router_selector(service.name)},
    }
    return {
        "serviceAccountName": user.service_account_name or service.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": service.spec.drain.grace_period_seconds,
        "securityContext": pod.security_context() | _volume_group(service),
        **{key: value for key, value in optional.items() if value},
        "topologySpreadConstraints": [spread],
        "containers": [_container(service, settings)],
        "volumes": [{"name": _SCRATCH, "emptyDir": {}}, *keys.volumes(service)],
    }


def _volume_group(service: LLMService) -> dict[str, int]:
    """Return the group that may read the API keys."""
    return {"fsGroup": pod.NON_ROOT_ID} if service.spec.api_keys else {}


def _container(service: LLMService, settings: OperatorSettings) -> dict[str, Any]:
    return {
        "name": ROUTER,
        **pod.image(service, settings),
        "command": ["radixloom"],
        "args": ["route", *service.spec.routing.args],
        "env": _environment(service),
        "ports": [{"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "resources": _resources(service),
        "readinessProbe": pod.probe("/readyz", period=5, failures=3),
        "livenessProbe": pod.probe("/healthz", period=10, failures=6),
        "volumeMounts": [
            {"name": _SCRATCH, "mountPath": SCRATCH_PATH},
            *keys.mounts(service),
        ],
        **pod.pre_stop(service),
        **pod.CONTAINER_BASE,
    }


def _environment(service: LLMService) -> list[dict[str, Any]]:
    """Return the router's settings; it takes the leaders' own port, not that of a Service."""
    leaders = f"{leaders_service_name(service.name)}.{service.namespace}.svc"
    variables = router_settings.environment(
        discover=f"{leaders}:{service.spec.engine.port}",
        port=HTTP_PORT,
        drain_seconds=drain_seconds(service),
        api_key_file=keys.setting(service),
        log_format=LogFormat.JSON,
    )
    variables["HOME"] = SCRATCH_PATH
    return [{"name": name, "value": value} for name, value in variables.items()]


def _resources(service: LLMService) -> dict[str, Any]:
    stated = {name: str(value) for name, value in service.spec.routing.resources.items()}
    limits = {name: value for name, value in stated.items() if name != "cpu"}
    requests = {"cpu": "250m", "memory": "256Mi", **stated}
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}
