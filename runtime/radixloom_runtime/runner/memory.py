"""How many requests run together, how many tokens the KV cache holds, how long a request may be.

device memory:  fraction of it - weights, as bytes per token allow          (TPU, GPU)
CPU:            a quarter of what is left, and no more than DEFAULT_CPU_TOKENS

Where layers keep a state for each running request, those come first: at most half of it. All
devices hold equally much, so the one with the least free memory decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radixloom_runtime import capacity
from radixloom_runtime.errors import CapacityError, ConfigurationError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.settings import RuntimeSettings

DEFAULT_CPU_TOKENS = 16_384
_CPU_SHARE = 0.25
_GIB = 1 << 30
_GB = 1_000_000_000

_CGROUP_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
_CGROUP_FOLDER = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


class Device(Protocol):
    """What is asked of a jax device."""

    @property
    def platform(self) -> str:
        """Return cpu, tpu or gpu."""
        ...

    @property
    def device_kind(self) -> str:
        """Return the vendor's name."""
        ...

    def memory_stats(self) -> dict[str, int] | None:
        """Return bytes_limit and bytes_in_use among others; None where it is not known."""
        ...


@dataclass(frozen=True, slots=True)
class KVPlan:
    """What was decided."""

    num_pages: int
    page_tokens: int
    max_model_len: int
    page_bytes: int

    @property
    def num_tokens(self) -> int:
        """Tokens that the cache holds."""
        return self.num_pages * self.page_tokens


def plan_rows(
    settings: RuntimeSettings, *, row_bytes: int, free_bytes: int, default_rows: int
) -> int:
    """Decide how many requests run together. Raises: `CapacityError`."""
    wanted = settings.max_running_requests
    if not row_bytes:
        return wanted or default_rows
    affordable = max(0, free_bytes) // 2 // row_bytes - 1  # one more for padding
    rows = wanted or min(affordable, default_rows)
    if not 1 <= rows <= affordable:
        raise CapacityError(
            f"the states of {max(rows, 1)} running requests and one more for padding need"
            f" {(max(rows, 1) + 1) * row_bytes / _GIB:.2f} GiB, but {free_bytes / 2 / _GIB:.2f} GiB"
            " are free for them; lower max_running_requests or give more memory"
        )
    return rows


def plan_kv(
    settings: RuntimeSettings,
    config: ModelConfig,
    *,
    page_tokens: int,
    token_bytes: int,
    free_bytes: int,
    default_tokens: int,
) -> KVPlan:
    """Decide the cache's size; bytes are those of one device. Raises: `CapacityError`."""
    affordable = max(0, free_bytes) // token_bytes
    wanted = settings.kv_cache_tokens or min(affordable, default_tokens)
    if wanted > affordable:
        raise CapacityError(
            f"kv_cache_tokens {wanted} needs {wanted * token_bytes / _GIB:.2f} GiB, but"
            f" {free_bytes / _GIB:.2f} GiB are free for it ({affordable} tokens);"
            " lower kv_cache_tokens or give more memory"
        )
    num_pages = wanted // page_tokens
    if num_pages < 1:
        raise CapacityError(
            f"the KV cache needs at least one page of {page_tokens} tokens"
            f" ({page_tokens * token_bytes / _GIB:.3f} GiB), but {wanted} tokens is what"
            " memory or kv_cache_tokens allow; give more memory"
        )
    return KVPlan(
        num_pages=num_pages,
        page_tokens=page_tokens,
        max_model_len=_max_model_len(settings, config, num_pages * page_tokens),
        page_bytes=page_tokens * token_bytes,
    )


def check_host_cache(
    settings: RuntimeSettings, *, is_recurrent: bool, available_bytes: int
) -> None:
    """Refuse host memory for pages that is not there, or could not be used.

    Raises: `CapacityError`, `ConfigurationError`.
    """
    if not settings.host_cache_gb:
        return
    if is_recurrent or not settings.prefix_cache:
        why = "of a model with a recurrent state" if is_recurrent else "with --no-prefix-cache"
        raise ConfigurationError(
            f"host_cache_gb {settings.host_cache_gb:g} keeps cached prefixes, and {why} there are"
            " none; set it to 0"
        )
    plan_host_pages(settings, page_bytes=1, available_bytes=available_bytes)


def plan_host_pages(settings: RuntimeSettings, *, page_bytes: int, available_bytes: int) -> int:
    """Decide how many evicted pages host memory keeps; `page_bytes` of all groups' pages.

    Raises: `CapacityError`.
    """
    wanted = int(settings.host_cache_gb * _GB)
    if wanted > available_bytes:
        raise CapacityError(
            f"host_cache_gb {settings.host_cache_gb:g} is more than the host memory that is free,"
            f" {available_bytes / _GB:.1f} GB; lower it"
        )
    return wanted // page_bytes


def _max_model_len(settings: RuntimeSettings, config: ModelConfig, kv_tokens: int) -> int:
    wanted = settings.max_model_len
    if wanted is None:
        return min(config.max_positions, kv_tokens)
    if wanted > config.max_positions:
        raise CapacityError(
            f"max_model_len {wanted} is over the {config.max_positions} positions that the"
            " checkpoint was made for; lower it"
        )
    if wanted > kv_tokens:
        raise CapacityError(
            f"max_model_len {wanted} is over the {kv_tokens} tokens that the KV cache holds;"
            " lower it, or raise kv_cache_tokens or memory"
        )
    return wanted


def check_room(
    settings: RuntimeSettings,
    devices: Sequence[Device],
    *,
    weights_bytes: int,
    token_bytes: int,
    num_devices: int,
) -> None:
    """Refuse weights that cannot fit before they are loaded; bytes are of one device.

    `devices` are this host's, `num_devices` those of the slice. Raises: `CapacityError`.
    """
    on_cpu = devices[0].platform == "cpu"
    limit = (devices[0].memory_stats() or {}).get("bytes_limit")
    host_share = available_host_bytes() // (len(devices) if on_cpu else 1)
    problem = capacity.shortfall(
        capacity.Demand(
            weights_bytes=weights_bytes,
            kv_token_bytes=token_bytes,
            least_tokens=settings.max_model_len or 1,
        ),
        device_bytes=host_share if on_cpu or limit is None else limit,
        memory_fraction=1.0 if on_cpu else settings.memory_fraction,
        num_devices=num_devices,
    )
    if problem is not None:
        raise CapacityError(problem)


def free_for_kv(devices: Sequence[Device], memory_fraction: float) -> tuple[int, int]:
    """Return bytes that the cache may take of each device now, and its usual most in tokens."""
    if devices[0].platform == "cpu":  # its devices share the host's memory
        return int(available_host_bytes() * _CPU_SHARE) // len(devices), DEFAULT_CPU_TOKENS
    return min(_free_on(device, memory_fraction) for device in devices), 1 << 40


def _free_on(device: Device, memory_fraction: float) -> int:
    stats = device.memory_stats() or {}
    limit, used = stats.get("bytes_limit", 0), stats.get("bytes_in_use", 0)
    return int(limit * memory_fraction) - used


def available_host_bytes(cgroup: Path = _CGROUP_FOLDER, meminfo: Path = _MEMINFO) -> int:
    """Return memory that this process may still take: the least of machine and cgroup limit."""
    available = _meminfo_available(meminfo)
    for limit_name, used_name in _CGROUP_LIMITS:
        limit, used = _number(cgroup / limit_name), _number(cgroup / used_name)
        if limit is not None and used is not None:
            available = min(available, max(0, limit - used))
    return available


def _meminfo_available(path: Path) -> int:
    for line in path.read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    raise CapacityError(f"{path} has no MemAvailable; set kv_cache_tokens")


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
