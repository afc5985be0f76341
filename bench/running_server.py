"""What the scripts here share: a server that is up already, or one that they start themselves."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 1800.0
"""How long a start may take: on a small busy machine, compiling takes minutes."""


def api_base(url: str) -> str:
    """Complete `http://host:8000` or `http://host:8000/v1` for a client's relative paths."""
    return url.rstrip("/").removesuffix("/v1") + "/v1/"


def wait_for_model(
    url: str, process: "subprocess.Popen[bytes] | None" = None, *, seconds: float = START_SECONDS
) -> str:
    """Wait until the server is ready, and give the name of its model; not after its process."""
    deadline = time.monotonic() + seconds
    problem = "no answer"
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            sys.exit(f"{process.args!r} ended with exit code {process.returncode}; see its log")
        try:
            answer = httpx.get(api_base(url) + "models", timeout=10)
            if answer.is_success:
                return answer.json()["data"][0]["id"]
            problem = f"HTTP {answer.status_code}"
        except httpx.TransportError as error:
            problem = str(error)
        time.sleep(0.1)
    sys.exit(f"{url} was not ready within {seconds:.0f} s ({problem}); is `radixloom serve` there?")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that this process started."""

    url: str
    model: str
    process_id: int
    ready_seconds: float


@contextlib.contextmanager
def serving(
    folder: Path, log: Path, environment: Mapping[str, str], *flags: str
) -> Generator[Server]:
    """Run `radixloom serve` on a free port until the block ends."""
    command = [str(Path(sys.executable).with_name("radixloom")), "serve", *flags]
    with running([*command, "--model", str(folder)], log, environment) as server:
        yield server


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Generator[Server]:
    """Run a server that takes --host and --port on a free port until the block ends."""
    port = _free_port()
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        model = wait_for_model(url, process)
        yield Server(url, model, process.pid, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def resident_bytes(process_id: int) -> dict[int, int]:
    """Measure the resident memory of a process and each of its descendants, by process id."""
    return {each: _status_bytes(each) for each in _family(process_id)}


def cpu_seconds(process_id: int) -> float:
    """Return the processor time that a process and its descendants used so far."""
    ticks = 0
    for each in _family(process_id):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(process_id: int) -> list[int]:
    """List a process and its descendants."""
    found = [process_id]
    for task in Path(f"/proc/{process_id}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _family(int(child))
    return found


def _status_bytes(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
