"""Operators that start in a moment: forked from a process that has imported everything.

Real processes, which SIGKILL and SIGSTOP reach; only the seconds of importing are saved.
"""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.api_proxy import ApiProxy

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["radixloom_operator.handlers", "radixloom_operator.cli"])
_RESYNC_SECONDS = 1
"""What a watch that stalls without a word costs at most, and a retry."""


_CHILDREN = threading.Lock()
"""A start looks at all children of this process, one of which another thread may be closing."""


class ForkedOperator:
    """One operator of one namespace, behind a proxy; killed with its block."""

    def __init__(
        self, proxy: ApiProxy, log: Path, *, namespace: str, lease_namespace: str = ""
    ) -> None:
        environment = {
            "KUBECONFIG": str(proxy.kubeconfig),
            "RADIXLOOM_OPERATOR_LEASE_NAMESPACE": lease_namespace,
            "RADIXLOOM_OPERATOR_NAMESPACES": namespace,
            "RADIXLOOM_OPERATOR_LIVENESS_PORT": "0",
            "RADIXLOOM_OPERATOR_RESYNC_SECONDS": str(_RESYNC_SECONDS),
        }
        self._process = _CONTEXT.Process(target=_run, args=(environment, log), daemon=True)

    def __enter__(self) -> Self:
        with _CHILDREN:
            self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _CHILDREN:
            self._process.kill()
            self._process.join()
            self._process.close()

    @property
    def is_alive(self) -> bool:
        """Whether nobody killed it."""
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid or 0, number)


def _run(environment: dict[str, str], log: Path) -> None:
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from kubernetes.config import kube_config

    from radixloom_operator import cli

    # it read the environment when it was imported, which was before the fork
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = environment["KUBECONFIG"]
    sys.exit(cli.main(["run"]))
