"""Several CPU devices in every test process; what does not ask for more uses the first."""

import gc
import os
import sys

import pytest

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")  # read when jax is imported


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_end_with_their_module():
    """Let go of what a module's tests compiled.

    Each program takes some hundred memory mappings of a process, which may have 65530 (Linux's
    vm.max_map_count); past that the compiler's next one ends the process with a segmentation fault.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
