"""What is asked of a service, as its routers' /metrics say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from radixloom_operator.load import read_gauges

HELD = "radixloom_router_held_requests"
IDLE = "radixloom_router_idle_seconds"


@dataclass(frozen=True, slots=True)
class Demand:
    """What clients want, as one router saw it, or all together."""

    held: float
    """Requests that wait for a slice to be ready."""
    idle_seconds: float | None
    """For how long a slice has been ready and nobody asked; None where that is not known."""


def read_demand(text: str) -> Demand | None:
    """Read one router's view from Prometheus' text format; None where a gauge is missing."""
    gauges = read_gauges(text, (HELD, IDLE))
    return None if gauges is None else Demand(*gauges)


def together(told: Sequence[Demand | None]) -> Demand | None:
    """Put all routers' views together; None where none told.

    One that did not tell may have had requests: then nobody knows how long there were none.
    """
    known = [one for one in told if one is not None]
    if not known:
        return None
    idle = [one.idle_seconds for one in known if one.idle_seconds is not None]
    is_known = len(idle) == len(told)
    return Demand(sum(one.held for one in known), min(idle) if is_known else None)
