"""Whether a model fits into a device's memory: one arithmetic for both halves.

    memory_fraction of the device  >=  its weights + the least KV cache that serves anything

The runtime asks before it loads weights, `radixloom plan` before it compiles, the operator before
it makes pods. Necessary, not sufficient: what a step needs beside them, the compiler says.
"""

import math
import re
from dataclasses import dataclass

REASON = "InsufficientHBM"
"""What logs, termination messages and conditions call it."""

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Demand:
    """What one device must hold."""

    weights_bytes: int
    kv_token_bytes: int
    """Of all layers."""
    least_tokens: int
    """KV tokens without which nothing can be served."""

    @property
    def num_bytes(self) -> int:
        """Weights and the least KV cache."""
        return self.weights_bytes + self.kv_token_bytes * self.least_tokens


def shortfall(
    demand: Demand, *, device_bytes: int, memory_fraction: float, num_devices: int
) -> str | None:
    """Say why `demand` does not fit a device of a slice of `num_devices`; None if it does."""
    usable = int(device_bytes * memory_fraction)
    if demand.num_bytes <= usable:
        return None
    tokens = demand.least_tokens
    cache = f" and a KV cache for {tokens} token{'s' if tokens > 1 else ''}" if tokens else ""
    return (
        f"weights of {_gib(demand.weights_bytes)} GiB{cache} are wanted on each device, of whose"
        f" {_gib(device_bytes)} GiB {_gib(usable)} may be used (memory_fraction"
        f" {memory_fraction:g}); {_advice(demand, usable, num_devices)}"
    )


def tell(problem: str) -> str:
    """Mark a problem of memory for programs, so that `told_in` finds it in a process's output."""
    return f"{REASON}: {problem}"


def told_in(output: str) -> str | None:
    """Return the problem that `tell` marked in what a process wrote; None if there is none."""
    found = re.search(rf"\b{REASON}: (.+)", output)
    return found[1].strip() if found else None


def _advice(demand: Demand, usable: int, num_devices: int) -> str:
    if demand.weights_bytes <= usable:
        return "lower max_model_len or kv_cache_tokens, or take a larger slice"
    if usable <= 0:
        return "free memory, or take devices with more of it"
    least = math.ceil(demand.num_bytes * num_devices / usable)
    return f"take a slice of at least {least} such devices, not {num_devices}, or a smaller dtype"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.2f}"
