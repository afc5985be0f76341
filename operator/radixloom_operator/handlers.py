"""What kopf is used for: watching, probes, signals. The only module that knows it.

Only `on.event` handlers: they write nothing onto objects, and above all no finalizer, so that a
dead operator keeps nobody from deleting. An event's content is not looked at, but for whose it is:
it puts a key on the queue, and `reconcile` reads all afresh.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import kopf
import structlog
from typing_extensions import override

import radixloom_operator
from radixloom_operator.autoscaling import sleepers
from radixloom_operator.autoscaling.meter import Meter
from radixloom_operator.cluster import Cluster, service_of
from radixloom_operator.election import Election, Unopposed
from radixloom_operator.errors import ClusterError, NotLeadingError, OperatorError
from radixloom_operator.leaders import Leaders
from radixloom_operator.naming import GROUP, PLURAL, SERVICE_LABEL, VERSION, Key
from radixloom_operator.reconcile import reconcile
from radixloom_operator.settings import OperatorSettings
from radixloom_operator.workqueue import WorkQueue

log = structlog.stdlib.get_logger()

_OWNED = (
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "serviceaccounts"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
)
_CRD_PAUSE_SECONDS = 5
_RESYNC_RETRY_SECONDS = 2
_WATCH_PAUSE_SECONDS = 1


class Operator:
    """One running operator: a queue, its workers, and kopf that feeds it.

    One that does not lead watches as well, so that it is warm; what it is told it forgets, and
    looks at everything when it comes to lead.
    """

    def __init__(
        self, settings: OperatorSettings, cluster: Cluster, election: Election | Unopposed
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._election = election
        self._leaders = Leaders()
        self._meter = Meter(self._leaders, period_seconds=settings.autoscaling_seconds)
        self._queue: WorkQueue[Key] = WorkQueue(self._work)
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="reconcile")
        self._resync_wanted = asyncio.Event()
        self._stop = asyncio.Event()

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
            while not await self._watch():
                await asyncio.sleep(_WATCH_PAUSE_SECONDS)
                self._resync_wanted.set()

    async def _watch(self) -> bool:
        """Watch until told to end; False when kopf gave up.

        It does so for one answer that it cannot read, such as half a line of a watch that was cut.
        Lease, queue and workers are ours, and outlive it.
        """
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=_kopf_settings(),
                standalone=True,
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                liveness_endpoint=self._liveness_endpoint(),
                stop_flag=self._stop,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, watching starts again
            log.warning("watching.failed", error=f"{type(error).__name__}: {error}")
            return False
        return True

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
        """Run the election, the workers and the resync beside kopf; end them with it.

        The lease is given back last: by then no thread of ours writes.
        """
        election = self._election.run(on_lead=self._resync_wanted.set)
        jobs = [self._queue.run_worker() for _ in range(self._settings.workers)]
        others = (self._resync(), self._wake())
        tasks = [asyncio.create_task(job) for job in (election, *jobs, *others)]
        for task in tasks:
            task.add_done_callback(self._end_with)
        try:
            yield
        finally:
            self._election.resign()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._threads.shutdown)
            await self._election.release()

    def _end_with(self, task: asyncio.Task[None]) -> None:
        """End the operator when a task that goes on for ever does not: half of one is no use."""
        if not task.cancelled():
            log.critical("operator.defect", exc_info=task.exception())
            self._stop.set()

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
        """Look at every service when we come to lead, and now and then: watches die silently."""
        pause = self._settings.resync_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._resync_wanted.wait(), pause)
            self._resync_wanted.clear()
            pause = self._settings.resync_seconds
            if not self._election.is_leading:
                continue
            try:
                keys = await asyncio.to_thread(self._cluster.keys, self._settings.namespaces)
            except ClusterError as error:
                log.warning("resync.failed", error=str(error))
                pause = _RESYNC_RETRY_SECONDS
                continue
            # one that slept may have been deleted while another led
            for key in dict.fromkeys((*keys, *self._meter.sleepers.keys())):
                self._queue.add(key)

    async def _wake(self) -> None:
        """Have services without slices looked at as soon as somebody asks for them."""
        while True:
            await asyncio.sleep(sleepers.LOOK_SECONDS)
            if self._election.is_leading:
                for key in await asyncio.to_thread(self._meter.sleepers.wanted):
                    self._queue.add(key)

    async def _work(self, key: Key) -> bool:
        """Reconcile one service; whatever goes wrong with it is not the others' affair."""
        if not self._election.is_leading:
            return True
        work = functools.partial(
            reconcile,
            key,
            cluster=self._cluster,
            settings=self._settings,
            leaders=self._leaders,
            meter=self._meter,
            now=datetime.now(UTC),
        )
        try:
            turn = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except NotLeadingError as error:
            log.warning("reconcile.stopped", service=str(key), error=str(error))
            return True
        except OperatorError as error:
            log.warning("reconcile.failed", service=str(key), error=str(error))
        except Exception:
            log.exception("reconcile.defect", service=str(key))
        else:
            if turn.again_seconds is not None:
                self._queue.add_later(key, turn.again_seconds)
            return turn.is_settled
        return False


async def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, or else as the kubeconfig says."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


class _NoDifferences(kopf.DiffBaseStorage):
    """Spares copies: kopf takes two of every object it sees, for handlers of a kind we have not."""

    @override
    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None
    ) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    @override
    def fetch(self, *, body: kopf.Body) -> None:
        return None

    @override
    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        raise AssertionError("no handler of changes is registered")


def _kopf_settings() -> kopf.OperatorSettings:
    """Return settings measured with a thousand services: watches that never hang, no writes."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDifferences()
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
