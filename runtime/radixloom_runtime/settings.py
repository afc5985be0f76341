"""All settings of the runtime, read once in `cli.py` and passed down as values.

One type serves four readers: the command line (`--max-model-len`), the environment
(`RADIXLOOM_MAX_MODEL_LEN`), the docs, and the operator, which renders a pod's environment from it
with `environment()`. So this module needs pydantic alone.

`None` means "decided at start from the model and the device", and the log says what was decided.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from radixloom_runtime.adapter_settings import AdapterSettings

ENV_PREFIX = "RADIXLOOM_"

HTTP_PORT = 8000
PLAN_PORT = 8470
"""Leader's ZMQ publisher of step plans; in the range that TPU slice firewalls leave open."""
COORDINATOR_PORT = 8476
"""`jax.distributed` coordinator; pinned, since JAX moved its default to 8482 in 0.8.1."""
TPU_PROCESS_PORT = 8471
"""libtpu's own mesh between the hosts of a slice."""

MAX_BODY_BYTES = 32 * 2**20
"""A million tokens as JSON numbers are about 8 MB."""

DEMO_MODEL = "smollm2-135m-instruct"
"""Folder name of the demo model, under `cache_folder() / "models"`."""


def cache_folder() -> Path:
    """Return where what was downloaded or compiled once is kept; `XDG_CACHE_HOME` is respected."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radixloom"


class Dtype(StrEnum):
    """Number format of weights and activations."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


class SchedulePolicy(StrEnum):
    """Which of a user's waiting requests is served first, at equal priority."""

    LPM = "lpm"
    """Longest prefix match: the one of whose prompt the cache holds most."""
    FCFS = "fcfs"
    """First come, first served."""


class WeightFormat(StrEnum):
    """How matrices are kept in memory."""

    AUTO = "auto"
    NONE = "none"
    INT8 = "int8"
    FP8 = "fp8"


class KVCacheDtype(StrEnum):
    """Number format of keys and values in the KV cache."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FP8 = "fp8"
    """float8_e4m3fn, with a scale of 1."""
    INT8 = "int8"
    """With a scale for each token's key and value of each head."""


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class ListenerSettings(BaseSettings):
    """Settings of every process that clients ask: where it listens, whom it answers."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - a pod's own network
    api_key: SecretStr | None = Field(
        None,
        description="Key that clients must send as `Authorization: Bearer` or `x-api-key`; beside"
        " those of api_key_file. Default: everybody may ask.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File of keys that clients must send one of, a line each; read again when it"
        " changes.",
    )
    max_body_bytes: int = Field(
        MAX_BODY_BYTES, ge=1, description="Largest body of a request; a larger one is answered 413."
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Least severity that is logged.",
    )


class RuntimeSettings(ListenerSettings, AdapterSettings):
    """Settings of `radixloom serve`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    # --- what is served
    model: Path | None = Field(
        None,
        description="Folder of a Hugging Face checkpoint (config.json, *.safetensors, tokenizer),"
        " or a GGUF file. Default: the demo model in the cache folder, if it was fetched.",
    )
    served_model_name: str | None = Field(
        None, description="Name that clients give as `model`. Default: the folder's name."
    )
    dtype: Dtype = Field(
        Dtype.AUTO,
        description="Number format. auto: bfloat16 on TPU and GPU, float32 on CPU.",
    )
    quantization: WeightFormat = Field(
        WeightFormat.AUTO,
        description="How matrices are kept. auto: as the checkpoint has them; none: as numbers of"
        " dtype; int8, fp8: rounded while loading, one scale an output (embeddings, output layer"
        " and routers stay as they are).",
    )
    max_model_len: int | None = Field(
        None,
        ge=1,
        description="Longest prompt plus answer, in tokens. Default: the checkpoint's own limit.",
    )

    # --- chat
    tool_call_parser: str = Field(
        "auto",
        description="How calls of tools are read from answers: auto (by the chat template), none,"
        " deepseek-v3, glm, glm4-0414, gpt-oss, hermes, kimi, llama3, mistral, pythonic or"
        " qwen3-coder.",
    )
    reasoning_parser: str = Field(
        "auto",
        description="How reasoning is told apart from answers: auto (by the chat template), none,"
        " deepseek-r1, glm, gpt-oss, kimi, mistral or qwen3.",
    )
    request_chat_template: bool = Field(
        default=False,
        description="Let requests bring a chat_template of their own. It runs in a sandbox, but"
        " nothing ends one that never ends: only for clients that are trusted.",
    )

    # --- HTTP
    port: int = Field(HTTP_PORT, ge=0, le=65535, description="Port of the OpenAI API.")
    console: bool = Field(
        default=True,
        description="Serve a page at / to talk to the model and to watch the engine. It shows the"
        " start of cached prompts to who asks from this machine (with a key, where one is wanted).",
    )
    drain_seconds: float = Field(
        30.0, ge=0, description="After SIGTERM, how long running requests may go on."
    )

    # --- memory
    page_tokens: int | None = Field(
        None, ge=1, description="Tokens in one KV page. Default: 16 on CPU and GPU, 64 on TPU."
    )
    kv_cache_dtype: KVCacheDtype = Field(
        KVCacheDtype.AUTO,
        description="Number format of the KV cache. auto: as dtype; fp8 (e4m3, up to 448) and int8"
        " (a scale for each token and head) hold about twice the tokens of bfloat16, rounded."
        " States of linear attention stay as they are.",
    )
    kv_cache_tokens: int | None = Field(
        None, ge=1, description="Tokens that the KV cache holds. Default: what memory allows."
    )
    memory_fraction: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of device memory for weights and KV cache together (TPU, GPU).",
    )
    prefix_cache: bool = Field(
        default=True,
        description="Reuse the KV pages of prompts seen before. A model with linear attention"
        " cannot: it keeps a state for each request, too.",
    )

    host_cache_gb: float = Field(
        0.0,
        ge=0,
        description="GB of host memory that keep KV pages evicted from the device: a prompt seen"
        " long ago is copied back instead of computed again. 0: none.",
    )
    pinned_share: float = Field(
        0.25,
        ge=0,
        le=0.9,
        description="Most of the KV cache that pinned prefixes may hold (POST /pin_prefix).",
    )

    # --- scheduling
    max_running_requests: int | None = Field(
        None, ge=1, description="Requests decoded together. Default: 64 on CPU, 256 elsewhere."
    )
    max_queued_requests: int = Field(
        1024, ge=0, description="Requests that may wait; one more is answered 429."
    )
    schedule_policy: SchedulePolicy = Field(
        SchedulePolicy.LPM,
        description="Which of a user's waiting requests goes first, at equal priority: the one with"
        " the longest cached prefix (lpm) or the oldest (fcfs).",
    )
    request_timeout: float | None = Field(
        None,
        gt=0,
        description="Seconds that a request may take in all, unless it says `timeout` itself; then"
        " it ends with 408. Default: no limit.",
    )
    speculation: str | None = Field(
        None,
        pattern="^(ngram|draft)(:([1-9]|1[0-6]))?$",
        description="Guess up to K (4) next tokens and verify them in one step; the answers stay"
        " the same. ngram[:K]: from a request's own text; draft[:K]: by draft_model. Default: off.",
    )
    draft_model: Path | None = Field(
        None,
        description="Folder of a smaller checkpoint with the same tokens, for speculation draft.",
    )
    step_tokens: int | None = Field(
        None,
        ge=1,
        description="Token budget of one step: decodes first, the rest for prompt chunks."
        " Default: 256 on CPU, 2048 elsewhere.",
    )

    # --- start
    compile_cache_dir: Path | None = Field(
        None,
        description="Folder of compiled steps, kept between starts."
        " Default: radixloom/compile in the user's cache folder.",
    )
    warmup: bool = Field(
        default=True,
        description="Compile every bucket before ready. Off only for quick experiments.",
    )

    # --- parallelism over devices and hosts
    tensor_parallel: int | None = Field(
        None,
        ge=1,
        description="Devices that one copy of the model spans. Default: all there are, as far as"
        " its heads and widths can be shared out; on CPU: cpu_devices, or 1.",
    )
    expert_parallel: int = Field(
        1,
        ge=1,
        description="Parts of these devices that have experts of their own (mixtures of experts);"
        " divides tensor_parallel. In each part, every expert is cut over its devices.",
    )
    data_parallel: int = Field(
        1,
        ge=1,
        description="Copies of the attention, each over tensor_parallel devices; experts are shared"
        " out over all. Each copy has requests of its own: max_running_requests, kv_cache_tokens"
        " and step_tokens are those of one.",
    )
    cpu_devices: int | None = Field(
        None, ge=1, description="Cut the CPU into devices, to develop for several of them."
    )
    num_hosts: int = Field(1, ge=1, description="Hosts of this slice.")
    rank: int = Field(0, ge=0, description="This host's index in its slice; 0 leads.")
    leader_address: str | None = Field(
        None,
        description="Host name of rank 0, from which followers take plans."
        " Needed on every host when num_hosts > 1.",
    )
    coordinator_port: int = Field(
        COORDINATOR_PORT, ge=1, le=65535, description="Port of the jax.distributed coordinator."
    )
    plan_port: int = Field(
        PLAN_PORT, ge=1, le=65535, description="Port on which rank 0 publishes step plans."
    )
    gather_seconds: float = Field(
        1800.0, gt=0, description="At the start, how long the hosts of a slice wait for each other."
    )
    wire_secret: SecretStr | None = Field(
        None,
        description="Shared secret of a slice's hosts, 16 characters at least."
        " Needed on every host when num_hosts > 1.",
    )

    # --- logs, traces and profiles
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+.*$",
        description="Where an OpenTelemetry collector takes OTLP over HTTP, like"
        " http://collector:4318: it is sent a trace of each request. Default: what"
        " OTEL_EXPORTER_OTLP_ENDPOINT says, else nowhere.",
    )
    profile_dir: Path | None = Field(
        None,
        description="Folder for the profiles of `POST /start_profile`. Default: there are none.",
    )
    log_format: LogFormat = Field(
        LogFormat.TEXT, description="text for people, json for log collectors."
    )

    @model_validator(mode="after")
    def _host_cache_is_on_one_host(self) -> "RuntimeSettings":
        if self.host_cache_gb and self.num_hosts > 1:
            raise ValueError(
                f"host_cache_gb {self.host_cache_gb:g} needs a slice of one host, found"
                f" num_hosts {self.num_hosts}; set host_cache_gb to 0"
            )
        return self

    @model_validator(mode="after")
    def _drafts_have_a_model(self) -> "RuntimeSettings":
        is_drafted = (self.speculation or "").startswith("draft")
        if is_drafted and self.draft_model is None:
            raise ValueError(
                f"speculation {self.speculation} needs the model that guesses; set draft_model to"
                " its folder, or speculation to ngram"
            )
        if self.draft_model is not None and not is_drafted:
            raise ValueError(
                f"draft_model {self.draft_model} guesses with speculation draft, found"
                f" {self.speculation or 'none'}; set it to draft, or leave draft_model out"
            )
        return self

    @model_validator(mode="after")
    def _rank_is_a_host(self) -> "RuntimeSettings":
        if self.rank >= self.num_hosts:
            raise ValueError(
                f"rank {self.rank} is not one of the {self.num_hosts} hosts of the slice;"
                " set rank below num_hosts"
            )
        return self

    @model_validator(mode="after")
    def _experts_divide_the_devices(self) -> "RuntimeSettings":
        if self.tensor_parallel is not None and self.tensor_parallel % self.expert_parallel:
            raise ValueError(
                f"expert_parallel {self.expert_parallel} does not divide tensor_parallel"
                f" {self.tensor_parallel}; set one that does"
            )
        return self


class GivenAlone(BaseSettings):
    """Settings that do not look at this process's own environment."""

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class _GivenSettings(GivenAlone, RuntimeSettings):
    """Settings of a runtime, to be rendered."""


def environment(**settings: Any) -> dict[str, str]:
    """Render settings as environment variables: `environment(port=80)["RADIXLOOM_PORT"] == "80"`.

    Raises: `pydantic.ValidationError` for a name or value that the runtime would refuse.
    """
    return rendered(_GivenSettings.model_validate(settings), set(settings))


def rendered(checked: BaseSettings, names: set[str]) -> dict[str, str]:
    """Render some settings as environment variables; those that are None are left out."""
    values = checked.model_dump(mode="json", include=names, exclude_none=True)
    return {ENV_PREFIX + name.upper(): _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, cast("list[object]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value)
