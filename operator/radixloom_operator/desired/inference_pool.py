"""The leaders of a service as a Gateway knows them: an InferencePool, and a route to it.

The objects of the Gateway API Inference Extension. Its endpoint picker chooses among the pods that
the pool selects; whoever runs the Gateway runs the picker as well, and the spec names it.
"""

from radixloom_operator.api.routing import GatewayRef, InferencePool
from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.manifest import Manifest, manifest, sealed
from radixloom_operator.naming import (
    POOL_API_VERSION,
    POOL_GROUP,
    POOL_KIND,
    ROUTE_API_VERSION,
    ROUTE_KIND,
    leader_selector,
)


def inference_pool_objects(service: LLMService) -> tuple[Manifest, ...]:
    """Return the pool, and the route where Gateways are named; nothing without `inferencePool`."""
    wanted = service.spec.routing.inference_pool
    if wanted is None:
        return ()
    return (_pool(service, wanted), *((_route(service, wanted),) if wanted.gateways else ()))


def _pool(service: LLMService, wanted: InferencePool) -> Manifest:
    picker = wanted.endpoint_picker
    return sealed(
        manifest(
            POOL_API_VERSION,
            POOL_KIND,
            service,
            service.name,
            spec={
                "selector": {"matchLabels": leader_selector(service.name)},
                "targetPorts": [{"number": service.spec.engine.port}],
                "endpointPickerRef": {
                    "kind": "Service",
                    "name": picker.name,
                    "port": {"number": picker.port},
                    "failureMode": picker.failure_mode.value,
                },
            },
        )
    )


def _route(service: LLMService, wanted: InferencePool) -> Manifest:
    timeout = wanted.request_timeout_seconds
    backend = {"group": POOL_GROUP, "kind": POOL_KIND, "name": service.name}
    rule: Manifest = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [backend],
    }
    if timeout is not None:
        rule["timeouts"] = {"request": f"{timeout}s"}
    spec: Manifest = {
        "parentRefs": [_parent(gateway) for gateway in wanted.gateways],
        "rules": [rule],
    }
    if wanted.hostnames:
        spec["hostnames"] = list(wanted.hostnames)
    return sealed(manifest(ROUTE_API_VERSION, ROUTE_KIND, service, service.name, spec=spec))


def _parent(gateway: GatewayRef) -> Manifest:
    return gateway.model_dump(by_alias=True, exclude_none=True)
