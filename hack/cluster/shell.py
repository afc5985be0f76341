"""Run another program and turn its failure into a message."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError

Argument = str | Path


def run(
    argv: Sequence[Argument],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run `argv` to its end and return its stdout.

    `env` is added to this process's environment.

    Raises:
        ClusterError: it is missing, fails, or takes longer than `timeout_seconds`.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout_seconds,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ClusterError(f"{command[0]} cannot be run here: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no answer in {timeout_seconds}s: {shlex.join(command)}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ClusterError(f"exit {done.returncode}: {shlex.join(command)[:500]}\n{said}")
    return done.stdout


def succeeds(argv: Sequence[Argument], *, timeout_seconds: float = 20.0) -> bool:
    """Say whether `argv` is there and exits with 0."""
    try:
        run(argv, timeout_seconds=timeout_seconds)
    except ClusterError:
        return False
    return True
