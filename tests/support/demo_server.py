"""The HTTP server before the real engine with the demo model.

Needs `radixloom fetch demo` to have run (`make demo` and `make test` do it).
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from support.http_server import HttpServer

from radixloom_runtime.engine.launch import engine_command

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radixloom"
DEMO = CACHE / "models" / "smollm2-135m-instruct"
MODEL = DEMO.name
START_SECONDS = 600.0
"""Where nothing is compiled yet, on two cores with other tests beside."""
ANSWER_SECONDS = 120.0


@contextlib.contextmanager
def demo_server() -> Generator[HttpServer, None, None]:
    """Serve the demo model; few and small shapes are compiled."""
    if not DEMO.exists():
        pytest.fail(f"{DEMO} is missing; bring it with `radixloom fetch demo`")
    with HttpServer(
        engine_command,
        wait=False,
        model=DEMO,
        max_running_requests=4,
        step_tokens=64,
        kv_cache_tokens=4096,
    ) as server:
        server.client.timeout = ANSWER_SECONDS
        server.wait_until_ready(START_SECONDS)
        yield server
