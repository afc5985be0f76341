"""What the machine under the process is asked and told around a start: devices, memory."""

import ctypes
import importlib.util
from collections.abc import MutableMapping
from pathlib import Path

_PLATFORMS = "JAX_PLATFORMS"
_TPU_DEVICES = ("accel[0-9]*", "vfio/[0-9]*")
_GPU_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")


def skip_absent_tpus(environment: MutableMapping[str, str], devices: Path = Path("/dev")) -> None:
    """Keep jax from looking for TPUs where there are none; call before jax is imported.

    libtpu is installed on many a machine as the compiler that it also is; asked for chips there, it
    waits for a metadata server and prints errors. What the user chose in `environment` stays.
    """
    if environment.get(_PLATFORMS) or any(next(devices.glob(p), None) for p in _TPU_DEVICES):
        return
    if not any(importlib.util.find_spec(plugin) for plugin in _GPU_PLUGINS):
        environment[_PLATFORMS] = "cpu"


def give_back_freed_memory() -> None:
    """Return to the system what a start took and freed.

    500 MB in the engine after a cold start, 14 in the server, whose tokenizer is parsed from JSON.

    The C library keeps it for itself otherwise. Nothing happens where it is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
