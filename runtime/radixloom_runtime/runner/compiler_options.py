"""What XLA is told beside the program, by the kind of device.

Not the process's flags: these go with each compiled step, and are part of its key in the cache.
"""

from typing import Any

_BY_DEVICE_KIND: dict[str, dict[str, str]] = {
    # Tiles of 16 rows for bfloat16 suit v7x's matrix unit, but arguments always come in tiles of 8:
    # XLA would write every stack of weights anew before the loop over the layers, in every step.
    "TPU7x": {"xla_tpu_control_large_2nd_minor_layout_for_x16": "false"},
}


def compiler_options(device: Any) -> dict[str, str]:
    """Return the options for steps that run on devices like this one."""
    return _BY_DEVICE_KIND.get(device.device_kind, {})
