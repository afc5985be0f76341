"""Every test process: several CPU devices, of which most use the first, and a bounded memory."""

import functools
import gc
import os
import sys
from collections import Counter

import pytest

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")  # read when jax is imported

COMPILED = "/jax/core/compile/backend_compile_duration"
MOST_PROGRAMS = 40
"""Compiled programs that may stay when a module ends: each takes some hundred memory mappings of a
process, which may have 65530 (Linux's vm.max_map_count); past that the compiler's next one ends the
process with a segmentation fault."""
_events: Counter[str] = Counter()


def pytest_collection_finish():
    """Leave what collecting made out of every later collection of garbage: it stays anyway."""
    gc.collect()
    gc.freeze()


@functools.cache
def _count_programs() -> None:
    def count(event: str, _seconds: float, **_more: object) -> None:
        _events[event] += 1

    sys.modules["jax"].monitoring.register_event_duration_secs_listener(count)


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_end_with_their_module():
    """Let go of what modules of tests compiled, once it is much."""
    if "jax" in sys.modules:
        _count_programs()
    yield
    if _events[COMPILED] > MOST_PROGRAMS:
        sys.modules["jax"].clear_caches()
        gc.collect()
        _events.clear()
