"""A bound port, and the HTTP server on it: the same for `serve` and `route`."""

import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from typing_extensions import override

from radixloom_runtime.errors import ConfigurationError

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""Longer than what clients and load balancers keep idle connections for (60 s): they close first,
so that no request is sent into a connection that is being closed."""


def bind(host: str, port: int) -> socket.socket:
    """Bind the port before anything slow begins. Raises: `ConfigurationError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where it is told that the protocol is TCP
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # from now on clients wait rather than being refused
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from None
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """Write where `listener` is, a wildcard address as one that a person can open."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def http_server(app: Any, *, shutdown_seconds: float) -> uvicorn.Server:
    """Make the server of an ASGI application; told to exit, it waits so long for its answers."""
    return _HttpServer(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=round(shutdown_seconds),
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
    )


class _HttpServer(uvicorn.Server):
    """Uvicorn without its signal handlers: signals begin a drain, which is its owner's."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
