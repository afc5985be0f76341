"""kubectl, run for one namespace of one cluster."""

import json
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from radixloom_operator.errors import OperatorError
from radixloom_operator.naming import GROUP, PLURAL

Manifest = dict[str, Any]
RESOURCE = f"{PLURAL}.{GROUP}"


class KubectlError(OperatorError):
    """kubectl is missing, or said no; the message is its own."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl with the options that the user gave."""

    options: tuple[str, ...] = ()
    """Such as `--namespace=chat`."""
    program: str = "kubectl"

    def read(self, *argv: str) -> str:
        """Run to the end and return what it prints.

        Raises:
            KubectlError: it fails.
        """
        with self._started(argv) as process:
            said, complaint = process.communicate()
        if process.returncode:
            raise KubectlError(complaint.strip() or f"kubectl {' '.join(argv)} failed")
        return said

    def pass_through(self, *argv: str) -> int:
        """Run with the user's own terminal, and return the exit code."""
        try:
            return subprocess.run(self._command(argv), check=False).returncode
        except OSError as error:
            raise KubectlError(_missing(self.program, error)) from error

    def service(self, name: str) -> Manifest:
        """Return the LLMService."""
        return json.loads(self.read("get", RESOURCE, name, "--output=json"))

    def listed(self, kind: str, labels: Sequence[str]) -> list[Manifest]:
        """List objects of a kind that carry all of these labels."""
        selector = f"--selector={','.join(labels)}"
        return json.loads(self.read("get", kind, selector, "--output=json"))["items"]

    def patch(self, name: str, change: Manifest) -> str:
        """Merge a change into an LLMService and return what kubectl says."""
        patch = json.dumps(change)
        return self.read("patch", RESOURCE, name, "--type=merge", f"--patch={patch}").strip()

    @contextmanager
    def forwarded(self, service: str, port: int) -> Generator[int, None, None]:
        """Reach a Service's port on a free port of this machine, for as long as the block lasts."""
        with self._started(("port-forward", f"service/{service}", f":{port}")) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - it was asked for
                line = process.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 8000
                if not line:
                    _, complaint = process.communicate()
                    raise KubectlError(complaint.strip() or "kubectl port-forward ended")
                yield int(line.split("->")[0].rpartition(":")[2])
            finally:
                process.terminate()
                process.communicate()

    @contextmanager
    def _started(self, argv: Sequence[str]) -> Generator["subprocess.Popen[str]", None, None]:
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(self._command(argv), stdout=pipe, stderr=pipe, text=True)
        except OSError as error:
            raise KubectlError(_missing(self.program, error)) from error
        with process:
            yield process

    def _command(self, argv: Sequence[str]) -> list[str]:
        return [self.program, *self.options, *argv]


def _missing(program: str, error: OSError) -> str:
    return f"{program} cannot be run: {error.strerror}; put kubectl on the PATH"
