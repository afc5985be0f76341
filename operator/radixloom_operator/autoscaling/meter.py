"""Measuring load: every leader of a service is asked at most once a period.

What was told holds until the period is over, so that the turns that a status or a pod brings about
in between ask nobody and decide the same. Routers are asked each time: a request that waits in
them waits for the answer.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from radixloom_operator.autoscaling.decision import Loads
from radixloom_operator.autoscaling.sleepers import Sleepers
from radixloom_operator.demand import Demand, together
from radixloom_operator.leaders import Leaders
from radixloom_operator.load import Load
from radixloom_operator.observed import Observed, ObservedPod
from radixloom_operator.pod_state import http_address

_FORGOTTEN_AFTER_PERIODS = 20


@dataclass(frozen=True, slots=True)
class _Sample:
    taken: datetime
    loads: dict[str, Load | None]
    """By the leader's uid."""


class Meter:
    """Remembers what was told last; safe to share between threads."""

    def __init__(self, leaders: Leaders, *, period_seconds: float) -> None:
        self._leaders = leaders
        self._period = timedelta(seconds=period_seconds)
        self._samples: dict[str, _Sample] = {}
        self._lock = threading.Lock()
        self.sleepers = Sleepers(leaders)

    @property
    def period_seconds(self) -> float:
        """How long a measurement holds."""
        return self._period.total_seconds()

    def loads(self, service_uid: str, observed: Observed, now: datetime) -> Loads:
        """Return the load of each slice that serves, asked for if what is known is too old."""
        leaders = [one.leader for one in observed.slices if one.is_ready and one.leader]
        with self._lock:
            sample = self._samples.get(service_uid)
        if sample is None or not self._holds(sample, leaders, now):
            told = self._leaders.loads([leader.address for leader in leaders])
            uids = (leader.uid for leader in leaders)
            sample = _Sample(now, dict(zip(uids, told, strict=True)))
            self._remember(service_uid, sample)
        return [sample.loads[leader.uid] for leader in leaders]

    def demand(self, routers: Sequence[str]) -> Demand | None:
        """Ask routers at these addresses what is wanted; None where none of them tells."""
        return together(self._leaders.demands(routers))

    def _holds(self, sample: _Sample, leaders: Sequence[ObservedPod], now: datetime) -> bool:
        is_of_all = all(leader.uid in sample.loads for leader in leaders)
        return is_of_all and abs(now - sample.taken) < self._period

    def _remember(self, service_uid: str, sample: _Sample) -> None:
        """Keep a sample, and drop those of services that are no more."""
        oldest = sample.taken - _FORGOTTEN_AFTER_PERIODS * self._period
        with self._lock:
            kept = {uid: one for uid, one in self._samples.items() if one.taken > oldest}
            self._samples = {**kept, service_uid: sample}


def router_addresses(pods: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Return where routers listen; one that has no address yet, or ends, holds nothing for us."""
    staying = (one for one in pods if not one["metadata"].get("deletionTimestamp"))
    return tuple(address for one in staying if (address := http_address(one)))
