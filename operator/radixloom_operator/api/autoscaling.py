"""Scaling by load, typed: what a spec may ask for, and what a status tells of it."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from radixloom_operator.api.model import ApiModel, cel, rule

DEFAULT_IDLE_SECONDS = 600


class LoadMetric(StrEnum):
    """What load is measured by; of each slice, told by its leader's /metrics."""

    ONGOING = "OngoingRequests"
    WAITING = "WaitingRequests"
    KV_CACHE = "KVCachePercent"


class LoadTarget(ApiModel):
    """How busy a slice should be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "self.metric != 'KVCachePercent' || self.value <= 100",
                "value is at most 100 for KVCachePercent",
            )
        )
    )

    metric: LoadMetric = Field(
        default=LoadMetric.ONGOING,
        description="OngoingRequests: requests that run or wait. WaitingRequests: requests that"
        " wait; while none does, a slice less is tried. KVCachePercent: the part of the KV cache"
        " that running requests hold.",
    )
    value: int = Field(
        ge=1, le=100_000, description="The average of a slice that is kept to, within a tenth."
    )


class ScaleUp(ApiModel):
    """How soon slices are added."""

    stabilization_seconds: int = Field(
        default=0,
        ge=0,
        le=3600,
        description="Slices are added when more were wanted for so long, as many as at the least.",
    )


class ScaleDown(ApiModel):
    """How soon slices are taken away."""

    stabilization_seconds: int = Field(
        default=300,
        ge=0,
        le=86400,
        description="Slices are taken away when fewer were wanted for so long, and as many kept as"
        " at the most.",
    )


class Autoscaling(ApiModel):
    """Replicas that follow the load."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule("self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas"),
            rule(
                "!has(self.scaleToZeroAfterSeconds) || self.minReplicas == 0",
                "scaleToZeroAfterSeconds applies to minReplicas 0 only",
            ),
        )
    )

    min_replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Fewest slices. 0, with routing.mode Router alone: none while nobody asks; the"
        " next request waits in a router until a slice is ready.",
    )
    max_replicas: int = Field(ge=1, le=1000, description="Most slices.")
    scale_to_zero_after_seconds: int | None = Field(
        default=None,
        ge=1,
        le=604800,
        description="With minReplicas 0, for how long nobody has asked when the last slices go."
        f" Default: {DEFAULT_IDLE_SECONDS}.",
    )
    target: LoadTarget
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()

    @property
    def idle_limit_seconds(self) -> int:
        """For how long nobody has asked when the last slices go."""
        return self.scale_to_zero_after_seconds or DEFAULT_IDLE_SECONDS


class PendingScale(ApiModel):
    """A change of replicas that waits until its stabilization is over."""

    replicas: int = Field(
        description="To what: of what was wanted since then, what changes the least."
    )
    since: str = Field(
        description="Since when more, or fewer, are wanted.",
        json_schema_extra={"format": "date-time"},
    )


class AutoscalingStatus(ApiModel):
    """What autoscaling last saw and did."""

    metric: LoadMetric = Field(description="What load is measured by.")
    value: int | None = Field(
        default=None, description="The average of the slices that told theirs, rounded."
    )
    desired_replicas: int = Field(description="Replicas that there should be.")
    reason: str = Field(description="Why, in one word.")
    owner: str | None = Field(
        default=None, description="Who else owns spec.replicas, so that they are left alone."
    )
    pending: PendingScale | None = Field(
        default=None, description="A change that waits until its stabilization is over."
    )
    last_scale_time: str | None = Field(
        default=None,
        description="When replicas were last changed by the load.",
        json_schema_extra={"format": "date-time"},
    )
