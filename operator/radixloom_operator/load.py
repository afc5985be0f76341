"""How busy one slice is, as its leader's /metrics say. Pure."""

import math
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
    lines = (line.split() for line in text.splitlines())
    values = {words[0]: words[1] for words in lines if len(words) >= 2}
    try:
        running, waiting, kv_share = (float(values[name]) for name in (RUNNING, WAITING, KV_SHARE))
    except (KeyError, ValueError):
        return None
    is_sound = 0 <= running < math.inf and 0 <= waiting < math.inf and 0 <= kv_share <= 1
    return Load(running, waiting, kv_share) if is_sound else None
