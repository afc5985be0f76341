"""How a host of a slice fails: it names the cause, tells the others, and ends.

A step that fails here often fails because another host is gone: the collective breaks off before
the loss is noticed. So the loss is waited for, briefly, and told as what it is.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from radixloom_runtime.engine.hosts.rhythm import RHYTHM
from radixloom_runtime.engine.hosts.sessions import HostLostError
from radixloom_runtime.errors import ConfigurationError

_LOOK_SECONDS = 0.05


class Peers(Protocol):
    """The other hosts, as the engine's edge and its watchdog know them."""

    def why_lost(self) -> str | None:
        """Say why the slice must end, or None."""
        ...

    def end(self, reason: str) -> None:
        """Tell the others that this host fails."""
        ...


@contextmanager
def farewell(peers: Peers) -> Generator[None]:
    """Tell the other hosts why this one fails, if it does.

    Raises: `HostLostError` instead of the error that the loss of another host has caused.
    """
    try:
        yield
    except HostLostError:
        raise
    except ConfigurationError as error:
        peers.end(str(error))
        raise
    except Exception as error:
        reason = _lost_within(peers, RHYTHM.cause)
        if reason is not None:
            raise HostLostError(reason) from error
        peers.end(f"{type(error).__name__}: {error}")
        raise


def _lost_within(peers: Peers, seconds: float) -> str | None:
    until = time.monotonic() + seconds
    while (reason := peers.why_lost()) is None and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    return reason
