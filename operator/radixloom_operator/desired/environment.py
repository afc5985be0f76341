"""What the engine's container is told: the runtime's settings, its rank, what libtpu reads.

The runtime's variables are rendered from its settings type, so that a setting that it does not
know, or a value that it would refuse, fails here and not in a pod.

GKE's webhook injects libtpu's variables for Indexed Jobs only; a StatefulSet gets the device
plugin's "worker 0 of localhost". So they are set here. A slice of one host needs none of them.
"""

import functools
from collections.abc import Mapping
from typing import Any

from radixloom_operator.api.location import served_name
from radixloom_operator.api.types import CompileCacheMode, LLMService, Parallelism
from radixloom_operator.desired import adapters, keys
from radixloom_operator.desired.volumes import COMPILE_CACHE_PATH, SCRATCH_PATH, model_path
from radixloom_operator.naming import (
    POD_INDEX_LABEL,
    hosts_service_name,
    pod_name,
    slice_name,
    wire_secret_name,
)
from radixloom_runtime.settings import (
    ENV_PREFIX,
    TPU_PROCESS_PORT,
    KVCacheDtype,
    LogFormat,
    WeightFormat,
    environment,
)
from radixloom_runtime.topology import Slice

EnvVar = dict[str, Any]

WIRE_SECRET_KEY = "secret"  # noqa: S105 - the name of a key, not a secret
_TIME_TO_EXIT_SECONDS = 5
"""Between the end of draining and SIGKILL, for an orderly exit."""


def engine_environment(service: LLMService, hardware: Slice, index: int) -> list[EnvVar]:
    """Return the environment of the engine's container in slice `index`; the user's wins."""
    ours = [
        *_plain(_runtime(service, hardware, index)),
        *_rank(service, hardware),
        *_tpu(service, hardware, index),
        *_plain(_process(service)),
    ]
    user = [
        variable.model_dump(by_alias=True, exclude_none=True)
        for variable in service.spec.engine.env
    ]
    named = {variable["name"] for variable in user}
    return [variable for variable in ours if variable["name"] not in named] + user


def _runtime(service: LLMService, hardware: Slice, index: int) -> dict[str, str]:
    spec = service.spec
    settings: dict[str, Any] = {
        "model": model_path(spec.model),
        "served_model_name": served_name(spec.model),
        "dtype": spec.engine.dtype,
        "max_model_len": spec.engine.max_model_len,
        "port": spec.engine.port,
        "drain_seconds": drain_seconds(service),
        "log_format": LogFormat.JSON,
    }
    # Only where asked for: a variable more would restart every slice when the operator is upgraded.
    if spec.engine.quantization is not WeightFormat.AUTO:
        settings["quantization"] = spec.engine.quantization
    if spec.engine.kv_cache_dtype is not KVCacheDtype.AUTO:
        settings["kv_cache_dtype"] = spec.engine.kv_cache_dtype
    if spec.model.adapters:
        settings["lora"] = adapters.settings(spec.model)
    if spec.api_keys is not None:
        settings["api_key_file"] = keys.setting(service)
    if spec.compile_cache.mode is not CompileCacheMode.DISABLED:
        settings["compile_cache_dir"] = COMPILE_CACHE_PATH
    if hardware.devices > 1:
        settings |= _parallelism(spec.parallelism, hardware)
    if hardware.hosts > 1:
        settings["num_hosts"] = hardware.hosts
        settings["leader_address"] = _host_address(service, index, 0)
    return _rendered(tuple(settings.items()))


def _parallelism(parallelism: Parallelism, hardware: Slice) -> dict[str, int]:
    """Return how devices are shared out; what is 1 is left out, as it is the engine's default."""
    tensor = parallelism.tensor or hardware.devices // parallelism.data
    more = {"data_parallel": parallelism.data, "expert_parallel": parallelism.expert}
    return {"tensor_parallel": tensor, **{name: n for name, n in more.items() if n > 1}}


@functools.lru_cache(maxsize=4096)
def _rendered(settings: tuple[tuple[str, Any], ...]) -> dict[str, str]:
    """Render settings once: to check them against the type takes longer than all the rest."""
    return environment(**dict(settings))


def drain_seconds(service: LLMService) -> int:
    """Return how long a pod may go on after SIGTERM."""
    drain = service.spec.drain
    after_stop = drain.grace_period_seconds - drain.pre_stop_seconds
    return max(0, after_stop - _TIME_TO_EXIT_SECONDS)


def _process(service: LLMService) -> dict[str, str]:
    """Return what the libraries below read: the only writable place, and whether JAX caches."""
    variables = {"HOME": SCRATCH_PATH}
    if service.spec.compile_cache.mode is CompileCacheMode.DISABLED:
        variables["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    return variables


def _rank(service: LLMService, hardware: Slice) -> list[EnvVar]:
    """Return the host's index and the slice's shared secret: what one template cannot spell out."""
    if hardware.hosts == 1:
        return []
    secret = {"name": wire_secret_name(service.name), "key": WIRE_SECRET_KEY}
    return [
        _pod_index(f"{ENV_PREFIX}RANK"),
        {"name": f"{ENV_PREFIX}WIRE_SECRET", "valueFrom": {"secretKeyRef": secret}},
    ]


def _tpu(service: LLMService, hardware: Slice, index: int) -> list[EnvVar]:
    if hardware.accelerator is None:
        return []
    variables = {
        "TPU_ACCELERATOR_TYPE": hardware.accelerator_type,
        "TPU_TOPOLOGY": hardware.topology,
        "TPU_SKIP_MDS_QUERY": "true",
    }
    if hardware.hosts == 1:
        return _plain(variables)
    addresses = [_host_address(service, index, host) for host in range(hardware.hosts)]
    variables |= {
        "TPU_NAME": slice_name(service.name, index),
        "TPU_WORKER_HOSTNAMES": ",".join(addresses),
        "TPU_PROCESS_ADDRESSES": ",".join(f"{host}:{TPU_PROCESS_PORT}" for host in addresses),
        "TPU_PROCESS_PORT": str(TPU_PROCESS_PORT),
        "TPU_HOST_BOUNDS": _bounds(hardware.host_bounds),
        "TPU_CHIPS_PER_HOST_BOUNDS": _bounds(hardware.chip_bounds),
    }
    return [*_plain(variables), _pod_index("TPU_WORKER_ID")]


def _host_address(service: LLMService, index: int, host: int) -> str:
    """Return a host's DNS name, short enough for the search path of the namespace to complete."""
    return f"{pod_name(service.name, index, host)}.{hosts_service_name(service.name)}"


def _bounds(sides: tuple[int, int, int]) -> str:
    return ",".join(str(side) for side in sides)


def _pod_index(name: str) -> EnvVar:
    path = f"metadata.labels['{POD_INDEX_LABEL}']"
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _plain(variables: Mapping[str, str]) -> list[EnvVar]:
    return [{"name": name, "value": value} for name, value in variables.items()]
