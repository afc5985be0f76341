"""`spec.model`: what is served, and where it comes from."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from radixloom_operator.api.model import QUANTITY_PATTERN, ApiModel, ObjectName, cel, rule
from radixloom_operator.api.pods import SecretKeyRef


class VolumeMode(StrEnum):
    """Where a volume's files live."""

    EMPTY_DIR = "EmptyDir"
    PVC = "PVC"


class ModelCache(ApiModel):
    """Where fetched checkpoints are kept."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "(self.mode == 'PVC') == has(self.claimName)",
                "claimName is required when mode is PVC, and only then",
            ),
            rule(
                "self.mode != 'PVC' || !has(self.sizeLimit)",
                "sizeLimit applies to mode EmptyDir only",
            ),
        )
    )

    mode: VolumeMode = Field(
        default=VolumeMode.EMPTY_DIR,
        description="EmptyDir: each pod fetches the model anew. PVC: fetched once into a claim"
        " that all pods of the service mount (ReadWriteMany where they share no node).",
    )
    claim_name: ObjectName | None = Field(
        default=None, description="PersistentVolumeClaim of mode PVC."
    )
    size_limit: str | None = Field(
        default=None,
        max_length=32,
        pattern=QUANTITY_PATTERN,
        description="Limit of the EmptyDir, such as 200Gi.",
    )


class Adapter(ApiModel):
    """A LoRA adapter that is loaded at the start."""

    name: str = Field(
        max_length=40,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name that clients give as `model`.",
    )
    source: str = Field(
        min_length=6,
        max_length=512,
        pattern=r"^(hf|gs|pvc|oci)://[A-Za-z0-9][^\s,]*$",
        description="Folder as PEFT saves it, named as the model is; of hf:// also"
        " hf://organisation/name@revision.",
    )


class ModelSource(ApiModel):
    """Which model is served, under which name, and where it comes from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "!has(self.tokenSecretRef) || self.uri.startsWith('hf://')"
                " || (has(self.adapters) && self.adapters.exists(one, one.source.startsWith('hf://')))",
                "tokenSecretRef applies to hf:// only",
            ),
            rule(
                "!has(self.revision) || self.uri.startsWith('hf://')",
                "revision applies to hf:// only",
            ),
            rule(
                "!has(self.cache)"
                " || !(self.uri.startsWith('pvc://') || self.uri.startsWith('oci://'))",
                "cache does not apply to pvc:// and oci://, which are read in place",
            ),
        )
    )

    uri: str = Field(
        min_length=6,
        max_length=512,
        pattern=r"^(hf|gs|pvc|oci)://[A-Za-z0-9][^\s]*$",
        description="hf://organisation/name (Hugging Face Hub), gs://bucket/path,"
        " pvc://claim/path (a claim in the same namespace, mounted read-only), or"
        " oci://registry/repository:tag (an image whose root is the model's folder, mounted as a"
        " volume; Kubernetes 1.33 or later, with image volumes switched on before 1.35).",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z0-9._:/-]+$",
        description="Name that clients give as `model`. Default: organisation/name of hf://, the"
        " last part of the path of others.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z0-9._/-]+$",
        description="Branch, tag or commit of a hf:// model. Default: the main branch.",
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Access token for a gated or private hf:// model, and for hf:// adapters.",
    )
    cache: ModelCache | None = Field(
        default=None, description="Where hf:// and gs:// models are kept. Default: an EmptyDir."
    )
    weights_size: str | None = Field(
        default=None,
        max_length=32,
        pattern=QUANTITY_PATTERN,
        description="Memory of all weights as they are served, such as 15.3Gi; `radixloom plan`"
        " tells it. With it, a model that no slice of this kind can hold is refused before any pod"
        " is made; without it, the first pod finds out.",
    )
    adapters: tuple[Adapter, ...] = Field(
        default=(),
        max_length=64,
        description="LoRA adapters that every slice serves beside the model. A rank above 16 needs"
        " `--max-lora-rank` in engine.args. A change of them is a new revision, as one of the model"
        " is: slices are replaced.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
