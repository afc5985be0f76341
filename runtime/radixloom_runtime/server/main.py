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
import uvicorn

from radixloom_runtime import logs
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.server import app, catalog
from radixloom_runtime.server.supervisor import Launch, Supervisor
from radixloom_runtime.settings import RuntimeSettings

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""Longer than what clients and load balancers keep idle connections for (60 s): they close first,
so that no request is sent into a connection that is being closed."""

log = structlog.get_logger()


def serve(settings: RuntimeSettings, launch_engine: Launch) -> int:
    """Serve until the process is told to stop; return its exit code.

    `launch_engine` comes from the caller, since the server knows the engine by its messages alone.

    Raises: `ConfigurationError` when model or port cannot be had.
    """
    settings = catalog.locate(settings)
    logs.configure(level=settings.log_level, form=settings.log_format, process="server")
    with listening_socket(settings) as listener, _private_folder() as folder:
        import uvloop

        return uvloop.run(_serve(settings, launch_engine, listener, folder))


async def _serve(
    settings: RuntimeSettings, launch_engine: Launch, listener: socket.socket, folder: Path
) -> int:
    url = f"http://{_reachable(settings.host)}:{listener.getsockname()[1]}"
    supervisor = Supervisor(settings, launch_engine, folder, url)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    log.info("server.listening", url=url)
    return await run(supervisor, listener)


async def run(supervisor: Supervisor, listener: socket.socket) -> int:
    """Answer HTTP on `listener` for as long as the supervisor runs; return its exit code."""
    config = uvicorn.Config(
        app.build(supervisor.service),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = _HttpServer(config)
    serving_http = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        return await supervisor.run()
    finally:
        server.should_exit = True
        await serving_http


class _HttpServer(uvicorn.Server):
    """Uvicorn without its signal handlers: signals begin a drain, which is the supervisor's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.contextmanager
def _private_folder() -> Generator[Path, None, None]:
    """Make a folder that only this user may enter, for the engine's socket."""
    with tempfile.TemporaryDirectory(prefix="radixloom-") as folder:
        yield Path(folder)


def listening_socket(settings: RuntimeSettings) -> socket.socket:
    """Bind the port before anything slow begins. Raises: `ConfigurationError`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)  # from now on clients wait rather than being refused
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror};"
            " choose another with --port"
        ) from None
    return listener


def _reachable(host: str) -> str:
    """Write a wildcard address as one that a person can open."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
