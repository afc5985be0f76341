"""What must be in this process's environment before jax is imported to compile for a TPU slice.

libtpu asks the machine about its chips while it loads; here it is told instead, so that it is a
compiler alone, on any Linux machine.
"""

import importlib.metadata
import os
import re

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.topology import Slice

_PACKAGE = "libtpu"


def use_tpu_compiler(hardware: Slice) -> None:
    """Prepare this process; jax must not have been imported yet.

    Raises: `ConfigurationError` if libtpu is absent, or of a release that jax was not made for.
    """
    _check_libtpu()
    os.environ.update(
        JAX_PLATFORMS="cpu",  # or jax would look for chips
        TPU_SKIP_MDS_QUERY="1",
        TPU_WORKER_HOSTNAMES="localhost",
        TPU_ACCELERATOR_TYPE=hardware.accelerator_type,
        TPU_MIN_LOG_LEVEL="3",
        TPU_STDERR_LOG_LEVEL="3",
        ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # its lock guards chips, and there are none
    )


def use_cpu(num_devices: int) -> None:
    """Prepare this process to compile for this machine's CPU; jax must not be imported yet."""
    os.environ.update(JAX_PLATFORMS="cpu", JAX_NUM_CPU_DEVICES=str(num_devices))


def _check_libtpu() -> None:
    try:
        found = importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigurationError(
            f"the compiler for TPUs is in {_PACKAGE}, which is not installed;"
            " pip install 'radixloom[tpu]' brings it (on Linux for x86-64, no TPU needed),"
            " or plan for --tpu cpu"
        ) from None
    wanted = _wanted_release()
    if wanted and not found.startswith(wanted):
        jax = importlib.metadata.version("jax")
        raise ConfigurationError(
            f"jax {jax} wants {_PACKAGE} {wanted}*, found {found};"
            f" pip install 'jax[tpu]=={jax}' brings the one that belongs to it"
        )


def _wanted_release() -> str | None:
    """Return the start of the version that the installed jax pins, such as `0.0.42.`."""
    for requirement in importlib.metadata.requires("jax") or ():
        pinned = re.match(rf"{_PACKAGE}==([\d.]+)\*", requirement)
        if pinned:
            return pinned[1]
    return None
