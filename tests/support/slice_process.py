"""Hosts of a slice as real processes: `radixloom serve` and `radixloom worker`, on loopback.

Which engine they run is the test's to choose: the real one, or the toy with nothing but plans.
`python -m support.slice_process ...` is the command line of `radixloom` with the toy in its place.
"""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.toy_engine import toy_engine

from radixloom_runtime import cli
from radixloom_runtime.engine import launch

TESTS = Path(__file__).parents[1]
SECRET = "what only the hosts of this slice know"
PATIENCE_SECONDS = 30.0


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = itertools.cycle(range(20_000 + _WORKER % 10 * 1000, 21_000 + _WORKER % 10 * 1000))


def free_port() -> int:
    """A port that nobody listens on, and that nobody is given soon.

    Below those that the kernel hands out by itself: it gave the same one twice, and a slice waited
    for a host that could not listen.
    """
    for port in _ports:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: ports go round for ever")


class Host:
    """One host of a slice: its server process, and the engine below it."""

    def __init__(self, rank: int, argv: list[str], environment: Mapping[str, str], log: Path):
        self.rank = rank
        self.log_file = log
        self.port = free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*argv, "--port", str(self.port)], env=environment, stderr=stderr
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def engine_pid(self) -> int:
        """The engine's process id, as the server's log tells it."""
        lines = self.poll(
            lambda: [line for line in self.log.splitlines() if "engine.started" in line]
        )
        return int(lines[0].rpartition("pid=")[2].split()[0])

    def poll(self, look, seconds: float = PATIENCE_SECONDS):
        """Look again and again until there is something to see."""
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, f"rank {self.rank} after {seconds} s:\n{self.log}"
            time.sleep(0.05)
        return seen

    def get(self, path: str) -> httpx.Response | None:
        """The answer to a GET, or None while nobody listens."""
        try:
            return self.client.get(path)
        except httpx.TransportError:
            return None

    def wait_ready(self, seconds: float = PATIENCE_SECONDS) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, f"rank {self.rank} has ended:\n{self.log}"
            answer = self.get("/readyz")
            return answer is not None and answer.status_code == 200

        self.poll(is_ready, seconds)

    def complete(self, prompt: list[int], **more: Any) -> list[int]:
        """The token ids that the server gives for a prompt of token ids."""
        body = {"model": "m", "prompt": prompt, "return_token_ids": True, "ignore_eos": True}
        body |= {"seed": 0, "temperature": 0} | more
        answer = self.client.post("/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["token_ids"]

    def metric(self, line_start: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"rank {self.rank} does not end:\n{self.log}") from None

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # its engine ends with it
        self.process.wait()


class Slice:
    """All hosts of a slice; each is started when the test says so."""

    def __init__(self, folder: Path, num_hosts: int, *, module: str, model: Path, **settings: Any):
        self._hosts: list[Host] = []
        self._folder = folder
        self._argv = [sys.executable, "-m", module]
        ports = {"plan_port": free_port(), "coordinator_port": free_port()}
        self._settings = {
            "model": model,
            "served_model_name": "m",
            "host": "127.0.0.1",
            "leader_address": "127.0.0.1",
            "num_hosts": num_hosts,
            **ports,
            **settings,
        }

    def start(
        self,
        rank: int,
        *,
        secret: str = SECRET,
        environment: Mapping[str, str] = {},
        **settings: Any,
    ) -> Host:
        command = "worker" if rank else "serve"
        flags = [
            part
            for name, value in {**self._settings, "rank": rank, **settings}.items()
            for part in ("--" + name.replace("_", "-"), str(value))
        ]
        variables = {
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "RADIXLOOM_WIRE_SECRET": secret,
            **environment,
        }
        log = self._folder / f"rank-{rank}-{len(list(self._folder.iterdir()))}.log"
        host = Host(rank, [*self._argv, command, *flags], variables, log)
        self._hosts.append(host)
        return host

    def start_all(self, **more: Any) -> list[Host]:
        return [self.start(rank, **more) for rank in range(self._settings["num_hosts"])]

    def close(self) -> None:
        for host in self._hosts:
            host.close()


@contextmanager
def running_slice(folder: Path, num_hosts: int = 2, **settings: Any) -> Iterator[Slice]:
    """A slice whose processes end with the test."""
    running = Slice(folder, num_hosts, **settings)
    try:
        yield running
    finally:
        running.close()


if __name__ == "__main__":
    launch.engine_command = toy_engine
    sys.exit(cli.main())
