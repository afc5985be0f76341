"""`spec.routing`: how requests reach the leaders of several slices."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from radixloom_operator.api.model import ApiModel, ObjectName
from radixloom_operator.api.pods import Quantity


class RoutingMode(StrEnum):
    """What stands behind the client Service."""

    SERVICE = "Service"
    ROUTER = "Router"
    INFERENCE_POOL = "InferencePool"


class FailureMode(StrEnum):
    """What a Gateway does while its endpoint picker does not answer."""

    FAIL_OPEN = "FailOpen"
    FAIL_CLOSE = "FailClose"


class EndpointPicker(ApiModel):
    """The Service of the endpoint picker that chooses a leader for each request."""

    name: ObjectName = Field(description="A Service in the same namespace.")
    port: int = Field(default=9002, ge=1, le=65535, description="Port of that Service.")
    failure_mode: FailureMode = Field(
        default=FailureMode.FAIL_CLOSE,
        description="While the picker does not answer, FailClose refuses requests, FailOpen spreads"
        " them over the leaders.",
    )


class GatewayRef(ApiModel):
    """A Gateway that sends requests to the pool."""

    name: ObjectName = Field(description="The Gateway.")
    namespace: ObjectName | None = Field(
        default=None, description="Its namespace. Default: that of the service."
    )
    section_name: ObjectName | None = Field(
        default=None, description="One of its listeners. Default: all."
    )


class InferencePool(ApiModel):
    """The leaders as a pool of the Gateway API Inference Extension."""

    endpoint_picker: EndpointPicker
    gateways: tuple[GatewayRef, ...] = Field(
        default=(),
        max_length=32,
        description="Gateways for which an HTTPRoute sends every path to the pool. Default: no"
        " HTTPRoute; make one of your own.",
    )
    hostnames: tuple[
        Annotated[str, Field(max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")],
        ...,
    ] = Field(default=(), max_length=16, description="Host names of that HTTPRoute. Default: any.")
    request_timeout_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86400,
        description="timeouts.request of that HTTPRoute; 0: none. Default: the Gateway's own, which"
        " may be shorter than long answers take.",
    )


class Routing(ApiModel):
    """How requests reach the leaders."""

    mode: RoutingMode = Field(
        default=RoutingMode.SERVICE,
        description="Service: the client Service spreads connections over ready leaders. Router:"
        " routers choose a leader by what it has cached of the prompt and by load, and hold"
        " requests while none is ready; while no router is available, leaders are reached"
        " directly. InferencePool: a Gateway and its endpoint picker choose among the leaders; the"
        " client Service stays as with Service.",
    )
    replicas: int = Field(default=2, ge=1, le=50, description="Routers.")
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Arguments appended to `radixloom route`."
    )
    resources: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="Resources of each router: requested, and, but for cpu, also the limit."
        " Default requests: cpu 250m and memory 256Mi.",
    )
    inference_pool: InferencePool | None = Field(
        default=None,
        description="What mode InferencePool makes, where the Gateway API Inference Extension is"
        " installed.",
    )
