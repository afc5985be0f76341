"""From a typed service to the objects that should exist. Pure: the same spec, the same objects."""

from dataclasses import dataclass

from radixloom_operator.api.hardware import slice_of
from radixloom_operator.api.location import served_name
from radixloom_operator.api.routing import RoutingMode
from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.disruption import disruption_budget
from radixloom_operator.desired.inference_pool import inference_pool_objects
from radixloom_operator.desired.manifest import Manifest
from radixloom_operator.desired.network import network_policies
from radixloom_operator.desired.revision import Revision, revision_of
from radixloom_operator.desired.router import router_objects
from radixloom_operator.desired.services import (
    client_service,
    hosts_service,
    service_account,
    service_url,
    wire_secret,
)
from radixloom_operator.desired.statefulset import statefulset
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.topology import Slice

__all__ = ["Desired", "Manifest", "desired_objects", "wire_secret"]


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that one service should have."""

    service: LLMService
    hardware: Slice
    revision: Revision
    """What every slice should be made of."""
    model_name: str
    url: str
    shared: tuple[Manifest, ...]
    """Objects of the service as a whole, in the order in which they are made."""
    slices: tuple[Manifest, ...]
    """StatefulSets, slice 0 first."""

    def slice(self, index: int) -> Manifest:
        """Return slice `index`; one beyond the replicas is there for a rollout alone."""
        if index < len(self.slices):
            return self.slices[index]
        return statefulset(self.service, self.hardware, index, self.revision, is_surge=True)

    @property
    def needs_wire_secret(self) -> bool:
        """Whether the hosts of a slice talk to each other."""
        return self.hardware.hosts > 1


def desired_objects(
    service: LLMService,
    settings: OperatorSettings,
    revision: Revision | None = None,
    *,
    routers_serve: bool = True,
) -> Desired:
    """Work out everything that `service`, which has no problems, should have.

    `revision` is what its slices are made of; by default what the spec stands for when nothing is
    remembered. While routers do not serve, clients are sent to the leaders.
    """
    revision = revision or revision_of(service, settings, ())
    hardware = slice_of(service.spec.tpu)
    has_routers = service.spec.routing.mode is RoutingMode.ROUTER
    own_account = service.spec.pod_template.service_account_name is None
    return Desired(
        service=service,
        hardware=hardware,
        revision=revision,
        model_name=served_name(service.spec.model),
        url=service_url(service),
        shared=(
            *([service_account(service)] if own_account else []),
            *network_policies(service, hardware),
            hosts_service(service),
            *(router_objects(service, settings) if has_routers else ()),
            client_service(service, to_routers=has_routers and routers_serve),
            *inference_pool_objects(service),
            disruption_budget(service, hardware),
        ),
        slices=tuple(
            statefulset(service, hardware, index, revision)
            for index in range(service.spec.replicas)
        ),
    )
