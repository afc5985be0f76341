"""`spec.routing`: how requests reach the leaders of several slices."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from radixloom_operator.api.model import ApiModel
from radixloom_operator.api.pods import Quantity, SecretKeyRef


class RoutingMode(StrEnum):
    """What stands behind the client Service."""

    SERVICE = "Service"
    ROUTER = "Router"


class Routing(ApiModel):
    """How requests reach the leaders."""

    mode: RoutingMode = Field(
        default=RoutingMode.SERVICE,
        description="Service: the client Service spreads connections over ready leaders. Router:"
        " routers choose a leader by what it has cached of the prompt and by load, and hold"
        " requests while none is ready; while no router is available, leaders are reached"
        " directly.",
    )
    replicas: int = Field(default=2, ge=1, le=50, description="Routers.")
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Arguments appended to `radixloom route`."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="API key that clients must send, and that --requests-per-minute counts by."
        " Leaders ask for it only where engine.env gives them RADIXLOOM_API_KEY, too.",
    )
    resources: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="Resources of each router: requested, and, but for cpu, also the limit."
        " Default requests: cpu 250m and memory 256Mi.",
    )
