"""The router process, from settings to exit code.

bind port ─► look at all leaders ─► route ─► SIGTERM: held requests 503, running ones finish ─► 0
"""

import asyncio
import signal
import socket

import structlog

from radixloom_runtime import logs
from radixloom_runtime.router import discovery, tls
from radixloom_runtime.router.activity import Activity
from radixloom_runtime.router.app import Admission, RouterApp
from radixloom_runtime.router.fleet import Fleet
from radixloom_runtime.router.forwarding import Forwarder
from radixloom_runtime.router.metrics import RouterMetrics
from radixloom_runtime.router.own import OwnPaths
from radixloom_runtime.router.rate_limit import RateLimit
from radixloom_runtime.router.upstream import Upstream
from radixloom_runtime.router.waiting_room import WaitingRoom
from radixloom_runtime.router.watch import Watch
from radixloom_runtime.router_settings import RouterSettings
from radixloom_runtime.server import keys, listening

log = structlog.get_logger()


def route(settings: RouterSettings) -> int:
    """Route until the process is told to stop; return its exit code.

    Raises: `ConfigurationError` when keys, certificates or port cannot be had.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, process="router")
    with listening.bind(settings.host, settings.port) as listener:
        import uvloop

        return uvloop.run(_route(settings, listener))


async def _route(settings: RouterSettings, listener: socket.socket) -> int:
    router = Router(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, router.stop)
    log.info("router.listening", url=listening.url_of(settings.host, listener))
    return await router.run(listener)


class Router:
    """All parts of a router."""

    def __init__(self, settings: RouterSettings) -> None:
        self._stop_requested = asyncio.Event()
        self.fleet = Fleet(settings)
        self._upstream = Upstream(tls.trust(settings))
        self._watch = Watch(self.fleet, discovery.of(settings), self._upstream, settings)
        metrics = RouterMetrics()
        self._room = WaitingRoom(
            self.fleet.ready,
            metrics,
            max_requests=settings.hold_requests,
            max_seconds=settings.hold_seconds,
        )
        activity = Activity(lambda: self.fleet.ready_since)
        self._show(metrics, activity)
        per_minute = settings.requests_per_minute
        admission = Admission(
            keys.load(settings),
            None if per_minute is None else RateLimit(per_minute),
            settings.max_body_bytes,
        )
        own = OwnPaths(metrics, has_looked=lambda: self._watch.has_looked)
        forwarder = Forwarder(self.fleet, self._room, self._upstream, metrics)
        app = RouterApp(own, forwarder, admission, activity, metrics)
        self._server = listening.http_server(app, shutdown_seconds=settings.drain_seconds)

    def stop(self) -> None:
        """Begin to drain; asked again, stop at once."""
        if self._stop_requested.is_set():
            self._server.force_exit = True
        self._stop_requested.set()

    async def run(self, listener: socket.socket) -> int:
        """Answer HTTP on `listener` until told to stop, and then what runs; return 0."""
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        watching = asyncio.create_task(self._watch.run())
        stopping = asyncio.create_task(self._stop_requested.wait())
        try:
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            log.info("router.draining", running=self.fleet.num_running)
            return 0
        finally:
            self._room.close()
            self._server.should_exit = True
            await serving
            for task in (watching, stopping):
                task.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
            self._upstream.close()
            log.info("router.stopped")

    def _show(self, metrics: RouterMetrics, activity: Activity) -> None:
        """Let gauges be read when they are asked for."""
        fleet, room = self.fleet, self._room
        metrics.held_requests.set_function(lambda: room.num_waiting)
        metrics.idle_seconds.set_function(lambda: activity.idle_seconds)
        metrics.running_requests.set_function(lambda: fleet.num_running)
        metrics.remembered_blocks.set_function(lambda: fleet.num_blocks)
        metrics.leaders.labels("ready").set_function(lambda: fleet.num_ready)
        metrics.leaders.labels("not_ready").set_function(
            lambda: len(fleet.leaders) - fleet.num_ready
        )
