"""Several processes, one per host, as one JAX: each sees the devices of all, and owns its own.

Every process must run the same programs in the same order; that this is so, `engine.hosts` sees to.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.plan import Limits

_START_SECONDS = 1800
"""Hosts have found each other already, but may still be loading libraries from a slow disk."""
_SHUTDOWN_SECONDS = 10


def join_processes(settings: RuntimeSettings) -> None:
    """Connect to the processes of the other hosts; before anything asks for devices."""
    if settings.num_hosts == 1:
        return
    # Signals are the server's; and a lost host is noticed sooner by `engine.hosts` than by JAX.
    jax.config.update("jax_enable_preemption_service", False)  # noqa: FBT003 - its only form
    jax.distributed.initialize(
        coordinator_address=f"{settings.leader_address}:{settings.coordinator_port}",
        num_processes=settings.num_hosts,
        process_id=settings.rank,
        initialization_timeout=_START_SECONDS,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )


def check_mesh(mesh: Mesh, devices: Sequence[Any]) -> None:
    """Refuse a mesh in which some host of all `devices` has no device, or not as many.

    Raises: `ConfigurationError`.
    """
    used = Counter(device.process_index for device in mesh.devices.flat)
    counts = [used[host] for host in sorted({device.process_index for device in devices})]
    if len(set(counts)) > 1:
        raise ConfigurationError(
            f"the devices that the model spans lie unevenly on the hosts: {counts}; set"
            f" --tensor-parallel to {len(devices) // mesh.shape['data']}, so that it spans all"
            f" {len(devices)} of the slice"
        )


def least_of_hosts(limits: Limits) -> Limits:
    """Return what every host has room for: free memory, and what follows from it, may differ."""
    if jax.process_count() == 1:
        return limits
    here = np.array([limits.num_pages, limits.max_rows, limits.max_model_len], np.int32)
    pages, rows, length = np.min(multihost_utils.process_allgather(here), axis=0).tolist()
    return replace(limits, num_pages=pages, max_rows=rows, max_model_len=length)
