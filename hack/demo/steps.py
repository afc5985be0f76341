"""Run the demo's steps one after the other, each under a headline with the time it took."""

import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from hack.cluster.console import elapsed
from hack.cluster.errors import ClusterError
from hack.images.recipe import REPOSITORY

_BOLD, _DIM, _PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class Steps:
    """Numbers headlines and adds up the time."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Generator[None, None, None]:
        """Print a headline now, and the time it took at the end."""
        self._done += 1
        print(f"{_BOLD}[{self._done}/{self._total}] {title}{_PLAIN}", flush=True)
        started = time.monotonic()
        yield
        print(f"{_DIM}      done in {elapsed(time.monotonic() - started)}{_PLAIN}", flush=True)

    def total(self) -> str:
        """Return the time since the first step."""
        return elapsed(time.monotonic() - self._started)


def tell(message: str) -> None:
    """Print one line below a headline."""
    print(f"      {message}", flush=True)


def run_tool(argv: Sequence[str]) -> str:
    """Run one of our own programs; show its progress, return its stdout.

    Raises:
        ClusterError: it fails; what was wrong it has said itself.
    """
    done = subprocess.run(
        argv,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` failed, see above", exit_code=done.returncode)
    return done.stdout


def run_module(module: str, *argv: str) -> str:
    """Run `python -m MODULE` with this interpreter.

    Raises:
        ClusterError: it fails; what was wrong it has said itself.
    """
    return run_tool([sys.executable, "-m", module, *argv])
