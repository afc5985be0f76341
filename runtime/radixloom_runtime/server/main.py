"""The server process from settings to exit code.

bind port ─► HTTP answers (starting) ─► engine and tokenizer, side by side ─► ready ─► ...
  SIGTERM ─► draining: new requests 503, running ones finish ─► Drain ─► exit 0
  engine gone ─► running requests fail, /healthz 503 ─► exit with its code, never 0
"""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

import structlog

from radixloom_runtime import logs
from radixloom_runtime.server import app, catalog, listening
from radixloom_runtime.server.supervisor import Launch, Supervisor
from radixloom_runtime.settings import RuntimeSettings

log = structlog.get_logger()


def serve(settings: RuntimeSettings, launch_engine: Launch) -> int:
    """Serve until the process is told to stop; return its exit code.

    `launch_engine` comes from the caller, since the server knows the engine by its messages alone.

    Raises: `ConfigurationError` when model or port cannot be had.
    """
    settings = catalog.locate(settings)
    logs.configure(level=settings.log_level, form=settings.log_format, process="server")
    with listening.bind(settings.host, settings.port) as listener, _private_folder() as folder:
        import uvloop

        return uvloop.run(_serve(settings, launch_engine, listener, folder))


async def _serve(
    settings: RuntimeSettings, launch_engine: Launch, listener: socket.socket, folder: Path
) -> int:
    url = listening.url_of(settings.host, listener)
    supervisor = Supervisor(settings, launch_engine, folder, url)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    log.info("server.listening", url=url)
    return await run(supervisor, listener)


async def run(supervisor: Supervisor, listener: socket.socket) -> int:
    """Answer HTTP on `listener` for as long as the supervisor runs; return its exit code."""
    server = listening.http_server(app.build(supervisor.service), shutdown_seconds=1)
    serving_http = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        return await supervisor.run()
    finally:
        server.should_exit = True
        await serving_http
        if supervisor.service.tracing is not None:
            await asyncio.to_thread(supervisor.service.tracing.close)


@contextlib.contextmanager
def _private_folder() -> Generator[Path, None, None]:
    """Make a folder that only this user may enter, for the engine's socket."""
    with tempfile.TemporaryDirectory(prefix="radixloom-") as folder:
        yield Path(folder)
