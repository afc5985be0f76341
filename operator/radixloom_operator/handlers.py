"""What kopf is used for: watching, probes, signals. The only module that knows it.

Only `on.event` handlers: they write nothing onto objects, and above all no finalizer, so that a
dead operator keeps nobody from deleting. An event's content is not looked at, but for whose it is:
it puts a key on the queue, and `reconcile` reads all afresh.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import kopf
import structlog

import radixloom_operator
from radixloom_operator.cluster import Cluster, Key, service_of
from radixloom_operator.errors import ClusterError, OperatorError
from radixloom_operator.naming import GROUP, PLURAL, SERVICE_LABEL, VERSION
from radixloom_operator.reconcile import reconcile
from radixloom_operator.settings import OperatorSettings
from radixloom_operator.workqueue import WorkQueue

log = structlog.stdlib.get_logger()

_OWNED = (
    ("apps", "v1", "statefulsets"),
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "serviceaccounts"),
    ("policy", "v1", "poddisruptionbudgets"),
)
_CRD_PAUSE_SECONDS = 5


class Operator:
    """One running operator: a queue, its workers, and kopf that feeds it."""

    def __init__(self, settings: OperatorSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._queue: WorkQueue[Key] = WorkQueue(self._work)

    async def run(self) -> None:
        """Watch and reconcile until the process is told to end."""
        log.info(
            "operator.started",
            namespaces=list(self._settings.namespaces) or "all",
            runtime_image=self._settings.runtime_image,
            version=radixloom_operator.__version__,
        )
        await self._wait_for_our_api()
        async with self._background():
            await kopf.operator(
                registry=self._registry(),
                settings=_kopf_settings(),
                standalone=True,
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                liveness_endpoint=self._liveness_endpoint(),
            )

    def _liveness_endpoint(self) -> str | None:
        port = self._settings.liveness_port
        return f"http://0.0.0.0:{port}/healthz" if port else None

    async def _wait_for_our_api(self) -> None:
        """Wait for the CRD: kopf looks once at what there is to watch."""
        while not await self._serves_our_api():
            log.warning(
                "crd.missing",
                wanted=f"{PLURAL}.{GROUP}",
                hint="install the chart with crds.install=true or apply crds/llmservices.yaml",
            )
            await asyncio.sleep(_CRD_PAUSE_SECONDS)

    async def _serves_our_api(self) -> bool:
        try:
            return await asyncio.to_thread(self._cluster.serves_our_api)
        except ClusterError as error:
            log.warning("api_server.unreachable", error=str(error))
            return False

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncGenerator[None]:
        """Run the workers and the resync beside kopf; end them with it."""
        jobs = [self._queue.run_worker() for _ in range(self._settings.workers)]
        tasks = [asyncio.create_task(job) for job in (*jobs, self._resync())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self._service_changed)
        for group, version, plural in _OWNED:
            kopf.on.event(
                group, version, plural, labels={SERVICE_LABEL: kopf.PRESENT}, registry=registry
            )(self._owned_changed)
        return registry

    async def _service_changed(self, name: str, namespace: str | None, **_: Any) -> None:
        self._queue.add(Key(namespace or "", name))

    async def _owned_changed(self, body: kopf.Body, **_: Any) -> None:
        key = service_of({"metadata": dict(body.metadata)})
        if key is not None:
            self._queue.add(key)

    async def _resync(self) -> None:
        """Look at every service now and then: watches die without a word."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                keys = await asyncio.to_thread(self._cluster.keys, self._settings.namespaces)
            except ClusterError as error:
                log.warning("resync.failed", error=str(error))
                continue
            for key in keys:
                self._queue.add(key)

    async def _work(self, key: Key) -> bool:
        """Reconcile one service; whatever goes wrong with it is not the others' affair."""
        try:
            return await asyncio.to_thread(
                reconcile,
                key,
                cluster=self._cluster,
                settings=self._settings,
                now=datetime.now(UTC),
            )
        except OperatorError as error:
            log.warning("reconcile.failed", service=str(key), error=str(error))
        except Exception:
            log.exception("reconcile.defect", service=str(key))
        return False


async def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, or else as the kubeconfig says."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def _kopf_settings() -> kopf.OperatorSettings:
    """Return settings measured with a thousand services: watches that never hang, no writes."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 60
    # a worker keeps its slot for the idle timeout
    settings.queueing.worker_limit = 100
    settings.queueing.idle_timeout = 0.1
    return settings
