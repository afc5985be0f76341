"""Devices to compile for: those of a TPU slice that is not here, or this machine's CPU.

Call `environment` first. What is read of a device when the engine starts (platform, memory) is
answered here from the table of generations; so the decisions are the engine's own.
"""

from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import topologies

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.topology import Slice


@dataclass(frozen=True, slots=True)
class Target:
    """A slice as programs see it. Has the form of `runner.memory.Device`."""

    summary: str
    devices: tuple[Any, ...]
    """As jax has them; compile-only for a TPU slice."""
    platform: str
    device_kind: str
    devices_per_chip: int
    hbm_bytes: int | None
    """Usable memory of one device; None on CPU, where the machine's counts."""
    bytes_in_use: int = 0
    """Of each device, once the weights are there."""

    @property
    def is_here(self) -> bool:
        """Whether the devices are those of this process."""
        return self.hbm_bytes is None

    def memory_stats(self) -> dict[str, int] | None:
        """Return what a device of the target would say after it has loaded its weights."""
        if self.hbm_bytes is None:
            return None
        return {"bytes_limit": self.hbm_bytes, "bytes_in_use": self.bytes_in_use}


def target_of(hardware: Slice) -> Target:
    """Return the devices of a slice. Raises: `ConfigurationError` where libtpu knows none such."""
    accelerator = hardware.accelerator
    if accelerator is None:
        devices = tuple(jax.devices("cpu"))
        return Target(f"cpu x{len(devices)}", devices, "cpu", devices[0].device_kind, 1, None)
    options = dict(accelerator.compiler_options)
    name = f"{accelerator.compiler_name}:{hardware.topology}"
    try:
        described = topologies.get_topology_desc(
            platform="tpu",
            topology_name=name,
            chips_per_host_bounds=hardware.chip_bounds,
            **options,
        )
    except jax.errors.JaxRuntimeError as error:
        raise ConfigurationError(
            f"the compiler for TPUs does not know {name}: {error}; see `radixloom plan --help` for"
            " the topologies"
        ) from error
    devices = tuple(described.devices)
    if len(devices) != hardware.devices:
        raise ConfigurationError(
            f"{hardware.summary} should have {hardware.devices} devices,"
            f" the compiler for TPUs has {len(devices)}; take another --chips-per-host"
        )
    return Target(
        summary=hardware.summary,
        devices=devices,
        platform="tpu",
        device_kind=devices[0].device_kind,
        devices_per_chip=accelerator.devices_per_chip,
        hbm_bytes=accelerator.hbm_bytes,
    )
