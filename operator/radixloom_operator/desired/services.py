"""What a service has once: two Services, the pods' identity, the secret that its hosts share."""

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.environment import WIRE_SECRET_KEY
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.naming import (
    hosts_service_name,
    leader_selector,
    router_selector,
    selector,
    wire_secret_name,
)
from radixloom_runtime.settings import HTTP_PORT

SERVICE_PORT = HTTP_PORT
"""Clients' port, the same whatever `engine.port` is, so that a URL never changes."""


def client_service(service: LLMService, *, to_routers: bool = False) -> Manifest:
    """Return the Service that clients use: it selects leaders only, or the routers before them."""
    select = router_selector if to_routers else leader_selector
    return sealed(
        manifest(
            "v1",
            "Service",
            service,
            service.name,
            spec={
                "type": "ClusterIP",
                "selector": select(service.name),
                "ports": [
                    {
                        "name": "http",
                        "port": SERVICE_PORT,
                        "targetPort": "http",
                        "protocol": "TCP",
                        "appProtocol": "http",
                    }
                ],
            },
        )
    )


def hosts_service(service: LLMService) -> Manifest:
    """Return the headless Service: hosts find each other by name before they are ready."""
    return sealed(
        manifest(
            "v1",
            "Service",
            service,
            hosts_service_name(service.name),
            spec={
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": selector(service.name),
                "ports": [
                    {"name": "http", "port": SERVICE_PORT, "targetPort": "http", "protocol": "TCP"}
                ],
            },
        )
    )


def service_account(service: LLMService) -> Manifest:
    """Return the pods' identity: it has no rights, and no token is mounted."""
    return sealed(
        manifest("v1", "ServiceAccount", service, service.name, automountServiceAccountToken=False)
    )


def wire_secret(service: LLMService, secret: str) -> Manifest:
    """Return the secret that the hosts of a slice share; made once, never changed, never read."""
    name = wire_secret_name(service.name)
    return manifest(
        "v1", "Secret", service, name, type="Opaque", stringData={WIRE_SECRET_KEY: secret}
    )


def service_url(service: LLMService) -> str:
    """Return the base URL of the OpenAI API inside the cluster."""
    return f"http://{service.name}.{service.namespace}.svc:{SERVICE_PORT}/v1"
