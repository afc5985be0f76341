"""The status of an `LLMService`, typed: what the operator tells, and the schema of it."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from radixloom_operator.api.autoscaling import AutoscalingStatus
from radixloom_operator.api.model import ApiModel


class ConditionType(StrEnum):
    """The questions that a status answers."""

    ACCEPTED = "Accepted"
    CAPACITY_AVAILABLE = "CapacityAvailable"
    PROGRESSING = "Progressing"
    SERVING = "Serving"
    READY = "Ready"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    AUTOSCALING = "AutoscalingActive"
    ROUTING = "RouterAvailable"
    POOL = "InferencePoolAccepted"


class Condition(ApiModel):
    """One question's answer, with its reason."""

    type: str = Field(
        max_length=316,
        description="Accepted: the spec can be served. CapacityAvailable: every pod has a node."
        " Progressing: something is under way. Serving: at least one slice answers. Ready: every"
        " slice answers as the spec asks. Degraded: something is broken. Stalled: it goes on no"
        " further without help. AutoscalingActive: replicas follow the load (only where the spec"
        " has autoscaling). RouterAvailable: requests go through routers (only where"
        " routing.mode is Router). InferencePoolAccepted: a Gateway sends requests to the leaders"
        " (only where routing.mode is InferencePool).",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="The answer.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="The cause in one word, for programs.",
    )
    message: str = Field(max_length=32768, description="The cause in a sentence, for people.")
    last_transition_time: str = Field(
        description="When the answer last changed.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(
        ge=0,
        description="metadata.generation of the spec that this answer is about.",
        json_schema_extra={"format": "int64"},
    )


class SliceInfo(ApiModel):
    """One replica's hardware, worked out from spec.tpu."""

    summary: str = Field(description="One line, such as `v5e 2x4 (2 hosts x 4 chips)`.")
    accelerator: str = Field(description="Accelerator type, such as v5litepod-8.")
    topology: str = Field(description="Topology of the slice; empty on cpu.")
    chips: int = Field(description="Chips of the slice; 0 on cpu.")
    hosts: int = Field(description="Pods of the slice.")
    chips_per_host: int = Field(description="google.com/tpu of each pod; 0 on cpu.")
    devices: int = Field(
        default=0, description="JAX devices of the slice: a chip of v7x is two; on cpu one a host."
    )


class SliceRestart(ApiModel):
    """Why a slice was restarted."""

    time: str = Field(
        description="When the cause was seen.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(
        description="PodLost, PodFailed, EngineEnded, or the kubelet's word, such as OOMKilled."
    )
    pod: str = Field(description="The pod that it began with.")
    exit_code: int | None = Field(default=None, description="With which its engine ended.")


class SliceStartup(ApiModel):
    """What the last start of a slice took; for a restarted engine, from its pod's creation on."""

    started: str = Field(
        description="When the leader's engine was started.",
        json_schema_extra={"format": "date-time"},
    )
    scheduled_seconds: float | None = Field(
        default=None, description="From the leader's creation until it had a node."
    )
    weights_seconds: float | None = Field(default=None, description="Loading weights.")
    compile_seconds: float | None = Field(
        default=None, description="Compiling steps, or reading them from the compile cache."
    )
    total_seconds: float | None = Field(
        default=None, description="From the leader's creation until it was ready."
    )
    compile_cache_hit: bool | None = Field(
        default=None, description="Whether every step came from the compile cache."
    )


class SlicePhase(StrEnum):
    """Where a slice stands."""

    PENDING = "Pending"
    STARTING = "Starting"
    READY = "Ready"
    DRAINING = "Draining"
    FAILED = "Failed"


class SliceStatus(ApiModel):
    """One slice."""

    index: int = Field(description="The slice's number, from 0.")
    phase: SlicePhase = Field(
        description="Pending: not every pod runs. Starting: loading or compiling. Ready: serves."
        " Draining: ending. Failed: needs help."
    )
    reason: str = Field(description="Why, in one word.")
    revision: str = Field(description="Pod template that the slice runs.")
    ready_hosts: int = Field(description="Pods that are ready.")
    restarts: int = Field(description="Restarts since the slice has this revision.")
    last_restart: SliceRestart | None = Field(default=None, description="The last of them.")
    startup: SliceStartup | None = Field(
        default=None, description="What the last start took, phase by phase."
    )


class RolloutStatus(ApiModel):
    """A change on its way to every slice."""

    revision: str = Field(description="The revision that it leads to.")
    ready: int = Field(description="Most slices of that revision that were ready at once.")
    progress_time: str = Field(
        description="When it last got on.", json_schema_extra={"format": "date-time"}
    )
    failure: str | None = Field(
        default=None, description="ProgressDeadlineExceeded or RestartBudgetExhausted."
    )


class LLMServiceStatus(ApiModel):
    """What the operator last saw and did."""

    observed_generation: int = Field(
        default=0,
        description="metadata.generation of the spec that this status is about.",
        json_schema_extra={"format": "int64"},
    )
    replicas: int = Field(default=0, description="Slices that exist.")
    ready_replicas: int = Field(default=0, description="Slices that serve.")
    updated_replicas: int = Field(default=0, description="Slices of the newest revision.")
    selector: str = Field(default="", description="Selects one pod per slice; read by autoscalers.")
    model_name: str = Field(default="", description="Name that clients give as `model`.")
    url: str = Field(default="", description="Base URL of the OpenAI API inside the cluster.")
    current_revision: str = Field(
        default="", description="Revision that every slice ran when all was last as asked."
    )
    update_revision: str = Field(default="", description="Revision that the spec asks for.")
    rollout: RolloutStatus | None = Field(
        default=None, description="The change under way, until every slice has it."
    )
    autoscaling: AutoscalingStatus | None = Field(
        default=None, description="What autoscaling last saw and did."
    )
    slice: SliceInfo | None = Field(default=None, description="One replica's hardware.")
    slices: tuple[SliceStatus, ...] = Field(
        default=(),
        max_length=2000,
        description="Every slice.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["index"],
        },
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="One answer for each question: see their types.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
