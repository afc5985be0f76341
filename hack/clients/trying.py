"""Asks a server by one client, and reads what its script says it tried.

A script writes a JSON object a line: `{"tried": "stream", "version": "3.57.0", "error": null}`.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from hack.clients import environments
from hack.clients.matrix import Client
from hack.cluster.errors import ClusterError

ATTEMPT_SECONDS = 300.0
_PREFIX = '{"tried":'


@dataclass(frozen=True, slots=True)
class Target:
    """A server that is asked."""

    url: str
    model: str
    tokenizer: str
    """Folder of its tokenizer, for clients that count tokens themselves."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that was tried by a client."""

    tried: str
    version: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """All that was tried by a client."""

    client: Client
    attempts: tuple[Attempt, ...]
    problem: str | None = None
    """Why the script did not come to its end."""

    @property
    def is_good(self) -> bool:
        """Whether all that was tried works, and something was."""
        return self.problem is None and bool(self.attempts) and not self.failed

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """What does not work."""
        return tuple(each for each in self.attempts if each.error is not None)


def ask(client: Client, target: Target) -> Row:
    """Run a client's script against a server."""
    try:
        command = environments.command(client)
    except ClusterError as error:
        return Row(client, (), f"its environment could not be made: {error}")
    script = subprocess.Popen(
        command,
        env=_environment(target),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # some start processes of their own, which are to end with them
    )
    try:
        said, complaints = script.communicate(timeout=ATTEMPT_SECONDS)
    except subprocess.TimeoutExpired as late:
        return Row(client, _attempts(_text(late.stdout)), f"no end after {ATTEMPT_SECONDS:g} s")
    finally:
        _end(script)
    attempts = _attempts(said)
    has_ended = script.returncode == 0 or any(each.error for each in attempts)
    problem = None if has_ended else f"exit code {script.returncode}: {complaints[-2000:]}"
    return Row(client, attempts, problem)


def table(rows: Sequence[Row]) -> str:
    """Write what works, a row for each client, and below it what does not and why."""
    cells: list[tuple[str, ...]] = [("client", "release", "works", "fails")]
    for row in rows:
        release = row.attempts[0].version if row.attempts else ""
        works = ", ".join(each.tried for each in row.attempts if each.error is None)
        fails = ", ".join(each.tried for each in row.failed) or ("all" if row.problem else "")
        cells.append((row.client.name, release, works, fails))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    return "\n".join((*lines, *(why for row in rows for why in _reasons(row))))


def _reasons(row: Row) -> list[str]:
    found = [f"\n{row.client.name}, {each.tried}: {each.error}" for each in row.failed]
    return found if row.problem is None else [*found, f"\n{row.client.name}: {row.problem}"]


def _environment(target: Target) -> dict[str, str]:
    return {
        # Another checkout's packages, or a key that a user of these clients has, are none of ours.
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "OPENAI_API_KEY": "none",
        "URL": target.url,
        "MODEL": target.model,
        "TOKENIZER": target.tokenizer,
    }


def _end(script: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(script.pid, signal.SIGKILL)
    script.communicate()


def _text(said: str | bytes | None) -> str:
    """Read what a script said in time: bytes, whatever `text` asks for."""
    return said.decode(errors="replace") if isinstance(said, bytes) else said or ""


def _attempts(said: str) -> tuple[Attempt, ...]:
    return tuple(_attempt(line) for line in said.splitlines() if line.startswith(_PREFIX))


def _attempt(line: str) -> Attempt:
    return Attempt(**json.loads(line))
