import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.http_server import WAIT_SECONDS
from support.tiny import FOLDER

SCRIPT = f"""
import sys
from pathlib import Path
from support.http_server import echo_engine
from radixloom_runtime.server import main
from radixloom_runtime.settings import LogFormat, RuntimeSettings
settings = RuntimeSettings(model=Path({str(FOLDER)!r}), port=0, log_format=LogFormat.JSON)
sys.exit(main.serve(settings, echo_engine()))
"""


class ServerProcess:
    """A server of its own process, and what it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def logged(self, event: str) -> dict[str, Any]:
        """Read the log up to `event`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            fields = json.loads(line)
            if fields["event"] == event:
                return fields
        raise AssertionError(f"the log ended without {event}")


@contextmanager
def _server_process() -> Iterator[ServerProcess]:
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_drains_and_exits_with_0(number: signal.Signals):
    with _server_process() as server:
        ready = server.logged("server.ready")
        assert ready["model"] == "tiny_tokenizer"
        assert ready["url"].startswith("http://127.0.0.1:")
        server.process.send_signal(number)
        server.logged("server.stopped")
        assert server.process.wait(WAIT_SECONDS) == 0


def test_a_killed_engine_ends_the_server_with_1():
    with _server_process() as server:
        engine_pid = server.logged("engine.started")["pid"]
        server.logged("server.ready")
        os.kill(engine_pid, signal.SIGKILL)
        assert server.logged("engine.lost")["reason"] == "killed by signal 9"
        assert server.process.wait(WAIT_SECONDS) == 1
