"""The demo model as the clients are tried on it: its chat template has a place for tools.

SmolLM2's own has none, so that a request with tools is refused; the weights are the same.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import httpx

from hack.clients.environments import SCRIPTS
from hack.clients.trying import Target
from radixloom_runtime.settings import DEMO_MODEL, cache_folder

START_SECONDS = 600.0
STOP_SECONDS = 60.0
SIZES = ("--max-running-requests=4", "--step-tokens=64", "--kv-cache-tokens=4096")
"""Few and small shapes are compiled."""


def demo_folder() -> Path:
    """Return where `radixloom fetch demo` leaves the model."""
    return cache_folder() / "models" / DEMO_MODEL


@contextlib.contextmanager
def serving() -> Generator[Target]:
    """Serve the demo model until the block ends. Exits where it does not get ready."""
    with tempfile.TemporaryDirectory(prefix="radixloom-clients-") as name:
        folder = Path(name) / DEMO_MODEL
        _with_tools(demo_folder(), folder)
        log = Path(name) / "server.log"
        with _running(folder, log) as (process, url):
            _wait(process, url, log)
            yield Target(url, DEMO_MODEL, str(demo_folder()))


def _with_tools(model: Path, folder: Path) -> None:
    if not model.exists():
        sys.exit(f"{model} is missing; bring it with `radixloom fetch demo`")
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "chat_template.jinja").symlink_to(SCRIPTS / "chat_template.jinja")


@contextlib.contextmanager
def _running(folder: Path, log: Path) -> "Generator[tuple[subprocess.Popen[bytes], str]]":
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "radixloom_runtime.cli", "serve", f"--model={folder}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}", *SIZES],
            stdout=output,
            stderr=output,
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").is_success:
                return
        time.sleep(0.2)
    sys.exit(f"the server did not get ready:\n{log.read_text()[-2000:]}")
