"""The spec of an `LLMService`, typed: what a user may ask for, and what is refused at apply.

These models are the only place where the API is written down: `schema.py` makes the
CustomResourceDefinition of them, `parse()` reads an object into them. A rule that needs one object
alone is CEL beside its model, so that `kubectl apply` refuses it with the sentence given here;
`validation.py` repeats on the operator's side what an older CRD might have let through.

Trap: `default: {}` on an object whose own CEL rule reads a defaulted child is refused when the CRD
is created ("no such key"); so no model with such a rule has an empty default.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from radixloom_operator.api.autoscaling import Autoscaling
from radixloom_operator.api.hardware import TpuSlice
from radixloom_operator.api.keys import ApiKeys
from radixloom_operator.api.model import ApiModel, ObjectName, cel, rule
from radixloom_operator.api.network import Network
from radixloom_operator.api.pods import EnvVar, PodTemplate, Quantity
from radixloom_operator.api.routing import Routing
from radixloom_operator.api.sources import ModelSource
from radixloom_operator.settings import PullPolicy
from radixloom_runtime.settings import HTTP_PORT, Dtype, KVCacheDtype, WeightFormat


class Engine(ApiModel):
    """The serving process of each host."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Runtime image. Default: the one that the operator was installed with.",
    )
    image_pull_policy: PullPolicy | None = Field(
        default=None, description="Default: the one that the operator was installed with."
    )
    max_model_len: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None,
        description="Longest prompt plus answer in tokens. Default: the checkpoint's own.",
    )
    dtype: Dtype = Field(
        default=Dtype.AUTO, description="Number format. auto: bfloat16 on TPU, float32 on CPU."
    )
    quantization: WeightFormat = Field(
        default=WeightFormat.AUTO,
        description="How matrices are kept. auto: as the checkpoint has them; none: as numbers of"
        " dtype; int8, fp8: rounded while loading.",
    )
    kv_cache_dtype: KVCacheDtype = Field(
        default=KVCacheDtype.AUTO,
        description="Number format of the KV cache. auto: as dtype; fp8 and int8 hold about twice"
        " the tokens of bfloat16, rounded.",
    )
    port: int = Field(
        default=HTTP_PORT,
        ge=1024,
        le=65535,
        description="Port of the pods. The Service's port is 8000 whatever this is.",
    )
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(), max_length=128, description="Arguments appended to `radixloom serve`."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=128,
        description="Environment added to the engine's; wins over what the operator"
        " sets, but for variables that follow from the rest of the spec, which are refused.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    host_resources: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="Resources of each host's pod: requested, and, but for cpu, also the limit."
        " Default requests: cpu 500m and memory 2Gi for cpu slices, 4 and 16Gi for TPU slices.",
        json_schema_extra=cel(
            rule("!('google.com/tpu' in self)", "google.com/tpu is computed from spec.tpu")
        ),
    )


class Parallelism(ApiModel):
    """How one copy of the model is shared out over the devices of a slice."""

    tensor: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Devices that one copy of the attention spans. Default: all devices of the"
        " slice, divided by data.",
    )
    data: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Copies of the attention, each with requests of its own; tensor x data are the"
        " devices of the slice. For models whose kv heads are fewer than its devices.",
    )
    expert: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Parts of the devices that have experts of their own; divides tensor.",
    )


class CompileCacheMode(StrEnum):
    """Where compiled steps are kept."""

    DISABLED = "Disabled"
    EMPTY_DIR = "EmptyDir"
    PVC = "PVC"


class CompileCache(ApiModel):
    """Compiled steps, kept so that a restart need not compile again."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "(self.mode == 'PVC') == has(self.claimName)",
                "claimName is required when mode is PVC, and only then",
            )
        )
    )

    mode: CompileCacheMode = Field(
        default=CompileCacheMode.EMPTY_DIR,
        description="EmptyDir outlives a container, PVC outlives a pod.",
    )
    claim_name: ObjectName | None = Field(
        default=None, description="PersistentVolumeClaim of mode PVC."
    )


class Startup(ApiModel):
    """How long starting may take."""

    timeout_seconds: int = Field(
        default=3600,
        ge=60,
        le=21600,
        description="A container that has not loaded and compiled by then is restarted.",
    )


class Drain(ApiModel):
    """How a pod ends."""

    pre_stop_seconds: int = Field(
        default=10,
        ge=0,
        le=600,
        description="Pause before SIGTERM, so that no new request comes any more.",
    )
    grace_period_seconds: int = Field(
        default=120,
        ge=1,
        le=3600,
        description="Time from deletion to SIGKILL; running requests may finish in it.",
    )


class Rollout(ApiModel):
    """How a change reaches the slices."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "self.maxSurge + self.maxUnavailable > 0",
                "maxSurge and maxUnavailable cannot both be 0",
            )
        )
    )

    max_surge: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Slices that may exist beside those asked for during a change; each needs free"
        " TPUs of its own.",
    )
    max_unavailable: int = Field(
        default=1, ge=0, le=100, description="Slices that may be out of service during a change."
    )
    progress_deadline_seconds: int = Field(
        default=7200,
        ge=60,
        le=604800,
        description="A change of which no further slice got ready for so long has failed"
        " (ProgressDeadlineExceeded).",
    )
    rollback_on_failure: bool = Field(
        default=False,
        description="Go back to the last revision that served on every slice when a change has"
        " failed: by its deadline, or by a spent restart budget. The spec stays as it is.",
    )
    revision_history_limit: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Revisions remembered (ControllerRevisions) beside those in use.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern="^[a-z0-9]+$",
        description="Serve this remembered revision, as status.currentRevision and the"
        " ControllerRevisions name it, instead of what the rest of the spec says; unset to go on.",
    )


class Restart(ApiModel):
    """How often a slice may be restarted before it is left for people to mend."""

    max_restarts: int = Field(
        default=6,
        ge=0,
        le=20,
        description="Restarts of one slice within the window. One more cause, and the operator"
        " restarts it no more (RestartBudgetExhausted) until what its pods are made of changes, or"
        " until it has served for the length of the window.",
    )
    window_seconds: int = Field(
        default=3600, ge=60, le=604800, description="The window: older restarts do not count."
    )


class LLMServiceSpec(ApiModel):
    """What is served, on what, and how often."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "self.drain.gracePeriodSeconds > self.drain.preStopSeconds",
                "drain.gracePeriodSeconds must exceed drain.preStopSeconds",
            ),
            rule(
                "self.tpu.generation != 'cpu' || (!has(self.parallelism.tensor)"
                " && self.parallelism.data == 1 && self.parallelism.expert == 1)",
                "parallelism does not apply to cpu; set it by engine.args",
            ),
            rule(
                "(self.routing.mode == 'InferencePool') == has(self.routing.inferencePool)",
                "routing.inferencePool is required when routing.mode is InferencePool, and only"
                " then",
            ),
            rule(
                "!has(self.autoscaling) || self.autoscaling.minReplicas > 0"
                " || self.routing.mode == 'Router'",
                "autoscaling.minReplicas 0 needs routing.mode Router, where requests wait",
            ),
            rule(
                "!has(self.model.adapters) || !has(self.engine.args) || !self.engine.args.exists("
                "arg, arg == '--lora' || arg.startsWith('--lora='))",
                "--lora of engine.args would replace model.adapters; name all adapters in one"
                " of them",
            ),
        )
    )

    replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Slices that serve the model, each a whole copy of it.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Replicas that follow the load. The operator writes spec.replicas, unless"
        " another autoscaler does through /scale, or a manifest has it that was applied server-side"
        " (status.autoscaling.reason ReplicasOwnedElsewhere). With replicas 0 it waits.",
    )
    paused: bool = Field(
        default=False,
        description="Hold changes back from running slices; scaling goes on.",
    )
    model: ModelSource
    tpu: TpuSlice
    parallelism: Parallelism = Parallelism()
    engine: Engine = Engine()
    compile_cache: CompileCache = CompileCache()
    startup: Startup = Startup()
    drain: Drain = Drain()
    restart: Restart = Restart()
    rollout: Rollout = Rollout()
    network: Network = Network()
    api_keys: ApiKeys | None = None
    routing: Routing = Routing()
    pod_template: PodTemplate = PodTemplate()


class LLMService(ApiModel):
    """One service: its identity and its typed spec."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: LLMServiceSpec
