"""Where leaders are: a fixed list, or the addresses behind a DNS name."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog

from radixloom_runtime.router_settings import RouterSettings

Discover = Callable[[], Awaitable[tuple[str, ...] | None]]
"""Gives the addresses of all leaders, or None where they cannot be told now."""

_NOBODY = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""No address behind the name: a Service without pods. Any other failure is the resolver's."""

log = structlog.get_logger()


def of(settings: RouterSettings) -> Discover:
    """Choose by the settings."""
    if settings.discover is None:
        return _fixed(settings.backend)
    name, _, port = settings.discover.rpartition(":")
    return _looked_up(name, int(port))


def _fixed(addresses: tuple[str, ...]) -> Discover:
    async def discover() -> tuple[str, ...] | None:
        return addresses

    return discover


def _looked_up(name: str, port: int) -> Discover:
    async def discover() -> tuple[str, ...] | None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NOBODY:
                return ()
            log.warning("discovery.failed", name=name, problem=str(error))
            return None
        return addresses_of(found)

    return discover


def addresses_of(found: Sequence[tuple[int, int, int, str, tuple[object, ...]]]) -> tuple[str, ...]:
    """Write what a resolver found as addresses, IPv6 only where it is alone: a pod has both."""
    families = {family for family, *_ in found}
    family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    ends = sorted((str(end[0]), end[1]) for kind, *_, end in found if kind == family)
    hosts = [(f"[{host}]" if ":" in host else host, port) for host, port in ends]
    return tuple(dict.fromkeys(f"http://{host}:{port}" for host, port in hosts))
