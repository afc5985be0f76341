"""The spec of an `LLMService`, typed: what a user may ask for, and what is refused at apply.

These models are the only place where the API is written down: `schema.py` makes the
CustomResourceDefinition of them, `parse()` reads an object into them. A rule that needs one object
alone is CEL beside its model, so that `kubectl apply` refuses it with the sentence given here;
`validation.py` repeats on the operator's side what an older CRD might have let through.

Trap: `default: {}` on an object whose own CEL rule reads a defaulted child is refused when the CRD
is created ("no such key"); so no model with such a rule has an empty default.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from radixloom_operator.settings import PullPolicy
from radixloom_operator.topology import Generation
from radixloom_runtime.settings import HTTP_PORT, Dtype


def cel(*rules: tuple[str, str]) -> dict[str, JsonValue]:
    """Attach rules to a schema: pairs of a CEL expression and the sentence shown when it fails."""
    return {
        "x-kubernetes-validations": [
            {"rule": expression, "message": message} for expression, message in rules
        ]
    }


OPEN: dict[str, JsonValue] = {"x-kubernetes-preserve-unknown-fields": True}
"""An object that Kubernetes itself defines and checks."""
QUANTITY: dict[str, JsonValue] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}

COMPUTED_ENVIRONMENT = (
    "HOME",
    "RADIXLOOM_COMPILE_CACHE_DIR",
    "RADIXLOOM_DRAIN_SECONDS",
    "RADIXLOOM_LEADER_ADDRESS",
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

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]


class ApiModel(BaseModel):
    """Camel case outside, unknown fields refused, nothing changes after reading."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class SecretKeyRef(ApiModel):
    """A key of a Secret in the service's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: ObjectName = Field("token", description="Key in the Secret's data.")


class VolumeMode(StrEnum):
    """Where a volume's files live."""

    EMPTY_DIR = "EmptyDir"
    PVC = "PVC"


class ModelCache(ApiModel):
    """Where fetched checkpoints are kept."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(self.mode == 'PVC') == has(self.claimName)",
                "claimName is required when mode is PVC, and only then",
            ),
            (
                "self.mode != 'PVC' || !has(self.sizeLimit)",
                "sizeLimit applies to mode EmptyDir only",
            ),
        )
    )

    mode: VolumeMode = Field(
        VolumeMode.EMPTY_DIR,
        description="EmptyDir: each pod fetches the model anew. PVC: fetched once into a claim"
        " that all pods of the service mount (ReadWriteMany where they share no node).",
    )
    claim_name: ObjectName | None = Field(None, description="PersistentVolumeClaim of mode PVC.")
    size_limit: str | None = Field(
        None, max_length=32, description="Limit of the EmptyDir, such as 200Gi."
    )


class ModelSource(ApiModel):
    """Which model is served, under which name, and where it comes from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.tokenSecretRef) || self.uri.startsWith('hf://')",
                "tokenSecretRef applies to hf:// only",
            ),
            (
                "!has(self.revision) || self.uri.startsWith('hf://')",
                "revision applies to hf:// only",
            ),
            (
                "!has(self.cache) || !self.uri.startsWith('pvc://')",
                "cache does not apply to pvc://, which is read in place",
            ),
        )
    )

    uri: str = Field(
        min_length=6,
        max_length=512,
        pattern=r"^(hf|gs|pvc)://[A-Za-z0-9][^\s]*$",
        description="hf://organisation/name (Hugging Face Hub), gs://bucket/path, or"
        " pvc://claim/path (a claim in the same namespace, mounted read-only).",
    )
    name: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z0-9._:/-]+$",
        description="Name that clients give as `model`. Default: organisation/name of hf://, the"
        " last part of the path of others.",
    )
    revision: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z0-9._/-]+$",
        description="Branch, tag or commit of a hf:// model. Default: the main branch.",
    )
    token_secret_ref: SecretKeyRef | None = Field(
        None, description="Access token for a gated or private hf:// model."
    )
    cache: ModelCache | None = Field(
        None, description="Where hf:// and gs:// models are kept. Default: an EmptyDir."
    )


class Provisioning(StrEnum):
    """How the nodes of a slice are paid for."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"


_TORUS = "(self.generation in ['v4', 'v5p', 'v7x'])"
_GRID = "(self.generation in ['v5e', 'v6e'])"


class TpuSlice(ApiModel):
    """One replica's hardware. Hosts and chips follow from generation and topology."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(self.generation == 'cpu') != has(self.topology)",
                "topology is required for TPU generations and does not apply to cpu",
            ),
            (
                "self.generation == 'cpu' || !has(self.hosts)",
                "hosts applies to cpu only: it follows from the topology of a TPU slice",
            ),
            (
                "self.generation != 'cpu' || !has(self.chipsPerHost)",
                "chipsPerHost does not apply to cpu",
            ),
            (
                "self.generation != 'cpu'"
                " || (self.provisioning == 'OnDemand' && !has(self.exclusiveNodePool))",
                "provisioning and exclusiveNodePool do not apply to cpu",
            ),
            (
                f"!{_GRID} || !has(self.topology) || self.topology in"
                " ['1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16']",
                "v5e and v6e take topology 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16 or 16x16",
            ),
            (
                f"!{_TORUS} || !has(self.topology)"
                " || self.topology.matches('^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$')",
                "v4, v5p and v7x take a topology of three sides, such as 2x2x1",
            ),
            (
                f"!{_TORUS} || !has(self.topology)"
                " || self.topology in ['2x2x1', '2x2x2', '2x2x4', '2x4x4']"
                " || (self.generation == 'v7x' && self.topology == '1x1x1')"
                " || !self.topology.matches('^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$')"
                " || self.topology.split('x').all(side, int(side) % 4 == 0)",
                "three-sided topologies are 2x2x1, 2x2x2, 2x2x4, 2x4x4 (v7x: 1x1x1 too), or have"
                " every side a multiple of 4",
            ),
            (
                "!has(self.topology) || self.topology != '2x4' || has(self.chipsPerHost)",
                "2x4 is one host of 8 chips or two hosts of 4; set chipsPerHost to 8 or 4",
            ),
            (
                "!has(self.topology) || !has(self.chipsPerHost) || (self.topology == '2x4'"
                " ? self.chipsPerHost in [4, 8]"
                " : self.chipsPerHost == (self.topology in ['1x1', '1x1x1'] ? 1 : 4))",
                "chipsPerHost is 4 or 8 for 2x4, 1 for 1x1 and 1x1x1, and 4 for every other"
                " topology",
            ),
        )
    )

    generation: Generation = Field(
        description="TPU generation; cpu runs on ordinary nodes, for development and tests."
    )
    topology: str | None = Field(
        None, max_length=11, description="Chips along each side of the slice: 2x4, 4x4x8."
    )
    chips_per_host: Literal[1, 4, 8] | None = Field(
        None, description="Chips of one host machine. Needed for topology 2x4 alone."
    )
    hosts: int | None = Field(
        None, ge=1, le=64, description="Pods of one replica; cpu only. Default: 1."
    )
    provisioning: Provisioning = Field(
        Provisioning.ON_DEMAND, description="Spot selects and tolerates GKE Spot nodes."
    )
    exclusive_node_pool: bool | None = Field(
        None,
        description="Whether a slice keeps other slices off its GKE node pool, and keeps its hosts"
        " together in one. Default: true for slices of several hosts, where a node pool is one"
        " slice, else false.",
    )


class EnvVar(ApiModel):
    """One environment variable, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.value) || !has(self.valueFrom)",
                "value and valueFrom exclude each other",
            ),
            (
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
    value: str | None = Field(None, max_length=32768, description="Its value.")
    value_from: dict[str, Any] | None = Field(
        None,
        description="Its source, as in a pod: secretKeyRef, configMapKeyRef, fieldRef.",
        json_schema_extra=OPEN,
    )


Quantity = Annotated[int | str, Field(json_schema_extra=QUANTITY)]


class Engine(ApiModel):
    """The serving process of each host."""

    image: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        description="Runtime image. Default: the one that the operator was installed with.",
    )
    image_pull_policy: PullPolicy | None = Field(
        None, description="Default: the one that the operator was installed with."
    )
    max_model_len: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        None, description="Longest prompt plus answer in tokens. Default: the checkpoint's own."
    )
    dtype: Dtype = Field(
        Dtype.AUTO, description="Number format. auto: bfloat16 on TPU, float32 on CPU."
    )
    port: int = Field(
        HTTP_PORT,
        ge=1024,
        le=65535,
        description="Port of the pods. The Service's port is 8000 whatever this is.",
    )
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        (), max_length=128, description="Arguments appended to `radixloom serve`."
    )
    env: tuple[EnvVar, ...] = Field(
        (),
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
            ("!('google.com/tpu' in self)", "google.com/tpu is computed from spec.tpu")
        ),
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
            (
                "(self.mode == 'PVC') == has(self.claimName)",
                "claimName is required when mode is PVC, and only then",
            )
        )
    )

    mode: CompileCacheMode = Field(
        CompileCacheMode.EMPTY_DIR,
        description="EmptyDir outlives a container, PVC outlives a pod.",
    )
    claim_name: ObjectName | None = Field(None, description="PersistentVolumeClaim of mode PVC.")


class Startup(ApiModel):
    """How long starting may take."""

    timeout_seconds: int = Field(
        3600,
        ge=60,
        le=21600,
        description="A container that has not loaded and compiled by then is restarted.",
    )


class Drain(ApiModel):
    """How a pod ends."""

    pre_stop_seconds: int = Field(
        10,
        ge=0,
        le=600,
        description="Pause before SIGTERM, so that no new request comes any more.",
    )
    grace_period_seconds: int = Field(
        120,
        ge=1,
        le=3600,
        description="Time from deletion to SIGKILL; running requests may finish in it.",
    )


class Rollout(ApiModel):
    """How a change reaches the slices."""

    max_unavailable: int = Field(
        1, ge=1, le=100, description="Slices that may be out of service during a change."
    )


class Toleration(ApiModel):
    """As in a pod."""

    key: str | None = Field(None, max_length=317, description="Key of the taint.")
    operator: Literal["Exists", "Equal"] | None = Field(None, description="Default: Equal.")
    value: str | None = Field(None, max_length=63, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Default: every effect."
    )
    toleration_seconds: int | None = Field(None, description="For effect NoExecute.")


class LocalObjectRef(ApiModel):
    """An object in the service's namespace."""

    name: ObjectName = Field(description="Its name.")


_LabelValue = Annotated[str, Field(max_length=63)]
_OURS_MESSAGE = "keys of serving.radixloom.dev, app.kubernetes.io and apps.kubernetes.io are ours"
_NO_KEY_OF_OURS = (
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
        (), max_length=32, description="Tolerations added to the TPU's."
    )
    service_account_name: ObjectName | None = Field(
        None, description="Default: one that the operator makes, without any right."
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    image_pull_secrets: tuple[LocalObjectRef, ...] = Field(
        (), max_length=16, description="Secrets with which images are pulled."
    )


class LLMServiceSpec(ApiModel):
    """What is served, on what, and how often."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.drain.gracePeriodSeconds > self.drain.preStopSeconds",
                "drain.gracePeriodSeconds must exceed drain.preStopSeconds",
            )
        )
    )

    replicas: int = Field(
        1, ge=0, le=1000, description="Slices that serve the model, each a whole copy of it."
    )
    paused: bool = Field(
        default=False,
        description="Hold changes back from running slices; scaling goes on.",
    )
    model: ModelSource
    tpu: TpuSlice
    engine: Engine = Engine()
    compile_cache: CompileCache = CompileCache()
    startup: Startup = Startup()
    drain: Drain = Drain()
    rollout: Rollout = Rollout()
    pod_template: PodTemplate = PodTemplate()


class LLMService(ApiModel):
    """One service: its identity and its typed spec."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: LLMServiceSpec
