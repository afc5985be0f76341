"""Services without slices, whose routers are asked again and again whether a request waits.

A turn costs reads of the API server, too many for a look each second: between turns, only the
routers of those that sleep are looked at, at the addresses that the last turn saw. Routers that
come or go bring a turn about by themselves.
"""

import threading
from collections.abc import Sequence

from radixloom_operator.leaders import Leaders
from radixloom_operator.naming import Key

LOOK_SECONDS = 1.0
"""Between two looks at all of them; a look that takes longer is waited for."""


class Sleepers:
    """Who sleeps, and where its routers are; safe to share between threads."""

    def __init__(self, leaders: Leaders) -> None:
        self._leaders = leaders
        self._routers: dict[Key, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def put(self, key: Key, routers: Sequence[str]) -> None:
        """Look at these routers of a service from now on."""
        with self._lock:
            self._routers[key] = tuple(routers)

    def drop(self, key: Key) -> None:
        """Look at a service no more: it is awake, or gone."""
        with self._lock:
            self._routers.pop(key, None)

    def keys(self) -> list[Key]:
        """Return who sleeps, as far as the last turns saw."""
        with self._lock:
            return list(self._routers)

    def wanted(self) -> list[Key]:
        """Ask the routers of all, and return those that hold requests."""
        with self._lock:
            asked = [(key, one) for key, routers in self._routers.items() for one in routers]
        told = self._leaders.demands([address for _, address in asked])
        found = (key for (key, _), one in zip(asked, told, strict=True) if one and one.held)
        return list(dict.fromkeys(found))
