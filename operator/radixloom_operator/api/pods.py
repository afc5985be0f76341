"""The parts of a spec that end up in a pod as Kubernetes writes them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from radixloom_operator.api.model import (
    OPEN,
    QUANTITY,
    QUANTITY_PATTERN,
    ApiModel,
    ObjectName,
    cel,
    rule,
)

COMPUTED_ENVIRONMENT = (
    "HOME",
    "RADIXLOOM_API_KEY_FILE",
    "RADIXLOOM_COMPILE_CACHE_DIR",
    "RADIXLOOM_DRAIN_SECONDS",
    "RADIXLOOM_LEADER_ADDRESS",
    "RADIXLOOM_LORA",
    "RADIXLOOM_MODEL",
    "RADIXLOOM_NUM_HOSTS",
    "RADIXLOOM_PORT",
    "RADIXLOOM_RANK",
    "RADIXLOOM_SERVED_MODEL_NAME",
    "RADIXLOOM_WIRE_SECRET",
    "TPU_ACCELERATOR_TYPE",
    "TPU_CHIPS_PER_HOST_BOUNDS",
    "TPU_HOST_BOUNDS",
    "TPU_NAME",
    "TPU_PROCESS_ADDRESSES",
    "TPU_PROCESS_PORT",
    "TPU_SKIP_MDS_QUERY",
    "TPU_TOPOLOGY",
    "TPU_WORKER_HOSTNAMES",
    "TPU_WORKER_ID",
)
"""Variables that follow from the rest of the spec, so that engine.env cannot contradict it."""


Quantity = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=QUANTITY_PATTERN)],
    Field(json_schema_extra=QUANTITY),
]


class EnvVar(ApiModel):
    """One environment variable, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "!has(self.value) || !has(self.valueFrom)",
                "value and valueFrom exclude each other",
            ),
            rule(
                f"!(self.name in {list(COMPUTED_ENVIRONMENT)})",
                "the operator computes this variable from the spec",
            ),
        )
    )

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern="^[A-Za-z_][A-Za-z0-9_.-]*$",
        description="Name of the variable.",
    )
    value: str | None = Field(default=None, max_length=32768, description="Its value.")
    value_from: dict[str, Any] | None = Field(
        default=None,
        description="Its source, as in a pod: secretKeyRef, configMapKeyRef, fieldRef.",
        json_schema_extra=OPEN,
    )


class Toleration(ApiModel):
    """As in a pod."""

    key: str | None = Field(default=None, max_length=317, description="Key of the taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Default: Equal.")
    value: str | None = Field(default=None, max_length=63, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Default: every effect."
    )
    toleration_seconds: int | None = Field(default=None, description="For effect NoExecute.")


class LocalObjectRef(ApiModel):
    """An object in the service's namespace."""

    name: ObjectName = Field(description="Its name.")


class SecretKeyRef(ApiModel):
    """A key of a Secret in the service's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: ObjectName = Field(default="token", description="Key in the Secret's data.")


_LabelValue = Annotated[str, Field(max_length=63)]
_OURS_MESSAGE = "keys of serving.radixloom.dev, app.kubernetes.io and apps.kubernetes.io are ours"
_NO_KEY_OF_OURS = rule(
    "self.all(key, !key.startsWith('serving.radixloom.dev/')"
    " && !key.startsWith('app.kubernetes.io/') && !key.startsWith('apps.kubernetes.io/'))",
    _OURS_MESSAGE,
)


class PodTemplate(ApiModel):
    """What is added to every pod."""

    labels: dict[str, _LabelValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Labels added to the pods.",
        json_schema_extra=cel(_NO_KEY_OF_OURS),
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict, max_length=64, description="Annotations added to the pods."
    )
    node_selector: dict[str, _LabelValue] = Field(
        default_factory=dict, max_length=32, description="Node labels required beside the TPU's."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), max_length=32, description="Tolerations added to the TPU's."
    )
    service_account_name: ObjectName | None = Field(
        default=None, description="Default: one that the operator makes, without any right."
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods."
    )
    image_pull_secrets: tuple[LocalObjectRef, ...] = Field(
        default=(), max_length=16, description="Secrets with which images are pulled."
    )
