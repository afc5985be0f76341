"""All settings of the operator, read once in `cli.py` and passed down as values.

Each is an environment variable: `RADIXLOOM_OPERATOR_` and the field's name in capitals. The chart
sets them; `operator/README.md` lists them.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import radixloom_operator

ENV_PREFIX = "RADIXLOOM_OPERATOR_"


class PullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class OperatorSettings(BaseSettings):
    """Settings of `radixloom-operator run` and of what it renders."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Namespaces watched, comma-separated. Default: all."
    )
    runtime_image: str = Field(
        default=f"radixloom-runtime:{radixloom_operator.__version__}",
        min_length=1,
        description="Image of slices whose spec.engine.image is not set.",
    )
    image_pull_policy: PullPolicy = Field(
        default=PullPolicy.IF_NOT_PRESENT,
        description="Pull policy of slices whose spec.engine.imagePullPolicy is not set.",
    )
    resync_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Every service is reconciled at least this often, should a watch have died"
        " without a word.",
    )
    autoscaling_seconds: float = Field(
        default=15.0,
        ge=1,
        description="How often the load of a service with spec.autoscaling is measured.",
    )
    workers: int = Field(
        default=16, ge=1, le=64, description="Services reconciled at the same time."
    )
    lease_namespace: str = Field(
        default="",
        description="Namespace of the Lease by which one of several operators leads. Default:"
        " no election, for the only operator that there is, run by hand.",
    )
    lease_name: str = Field(
        default="radixloom-operator", min_length=1, description="Name of that Lease."
    )
    lease_seconds: int = Field(
        default=10,
        ge=1,
        le=300,
        description="For how long the others wait for a leader that does not renew it.",
    )
    liveness_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of /healthz. 0: no health endpoint."
    )
    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="Least severity that is logged.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.JSON, description="json for log collectors, text for people."
    )

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
