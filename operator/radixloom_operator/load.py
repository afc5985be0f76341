"""How busy one slice is, as its leader's /metrics say. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from radixloom_operator.api.autoscaling import LoadMetric

RUNNING = "radixloom:num_running_reqs"
WAITING = "radixloom:num_queue_reqs"
KV_SHARE = "radixloom:token_usage"


@dataclass(frozen=True, slots=True)
class Load:
    """What a slice has to do."""

    running: float
    """Requests."""
    waiting: float
    """Requests."""
    kv_share: float
    """Part of the KV cache that running requests hold, 0 to 1."""

    def of(self, metric: LoadMetric) -> float:
        """Return the load in the unit of `metric`."""
        match metric:
            case LoadMetric.ONGOING:
                return self.running + self.waiting
            case LoadMetric.WAITING:
                return self.waiting
            case LoadMetric.KV_CACHE:
                return 100 * self.kv_share


def read_load(text: str) -> Load | None:
    """Read the load from Prometheus' text format; None where a gauge is missing or no number."""
    gauges = read_gauges(text, (RUNNING, WAITING, KV_SHARE))
    if gauges is None or gauges[2] > 1:
        return None
    return Load(*gauges)


def read_gauges(text: str, names: Sequence[str]) -> list[float] | None:
    """Read gauges without labels from Prometheus' text format.

    None where one is missing, no number, or none that a count or a share may have.
    """
    lines = (line.split() for line in text.splitlines())
    values = {words[0]: words[1] for words in lines if len(words) >= 2}
    try:
        gauges = [float(values[name]) for name in names]
    except (KeyError, ValueError):
        return None
    return gauges if all(0 <= gauge < math.inf for gauge in gauges) else None
