"""`spec.network`: who may reach the pods."""

from typing import Annotated

from pydantic import ConfigDict, Field

from radixloom_operator.api.model import ApiModel, cel, rule

Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)]


class Client(ApiModel):
    """Pods that may ask the service."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "has(self.namespaceLabels) || has(self.podLabels)",
                "give namespaceLabels, podLabels or both",
            )
        )
    )

    namespace_labels: Labels | None = Field(
        default=None, description="Labels of their namespace. Default: the service's own namespace."
    )
    pod_labels: Labels | None = Field(
        default=None, description="Labels of the pods. Default: all pods of those namespaces."
    )


class Network(ApiModel):
    """Who may reach the pods: NetworkPolicies, where the cluster's network carries them out."""

    policy: bool = Field(
        default=True,
        description="Whether there are NetworkPolicies: leaders take HTTP from clients, hosts of"
        " the service anything from each other, and nobody else reaches a follower.",
    )
    clients: tuple[Client, ...] = Field(
        default=(),
        max_length=32,
        description="Who may reach the leaders' HTTP port, beside the operator. Default:"
        " everybody.",
    )
