"""The engine's Stats as Prometheus metrics.

The engine counts over its lifetime and tells totals; a Prometheus counter only grows by amounts,
so what is added is the difference to the totals told before.
"""

from prometheus_client import Counter

from radixloom_runtime.metrics import Metrics
from radixloom_runtime.wire.messages import Stats


class EngineCounters:
    """Copies each Stats into the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[str, Counter] = {
            "prompt_tokens": metrics.prompt_tokens,
            "cached_tokens": metrics.cached_tokens,
            "restored_tokens": metrics.restored_tokens,
            "output_tokens": metrics.output_tokens,
            "steps": metrics.steps,
            "step_seconds": metrics.step_seconds,
            "host_seconds": metrics.host_seconds,
            "preemptions": metrics.preemptions,
            "expired": metrics.expired,
            "guessed_tokens": metrics.guessed_tokens,
            "right_guesses": metrics.right_guesses,
            "compiles_after_warmup": metrics.compiles_after_warmup,
        }
        self._told = dict.fromkeys(self._counters, 0.0)

    def update(self, stats: Stats) -> None:
        """Take the newest totals and levels."""
        for name, counter in self._counters.items():
            total = float(getattr(stats, name))
            counter.inc(max(0.0, total - self._told[name]))
            self._told[name] = total
        self._set_levels(stats)

    def _set_levels(self, stats: Stats) -> None:
        metrics = self._metrics
        metrics.num_queue_reqs.set(stats.num_waiting)
        metrics.num_running_reqs.set(stats.num_running)
        metrics.token_usage.set(stats.kv_tokens_used / max(1, stats.kv_tokens_total))
        metrics.prefix_hit_ratio.set(stats.cached_tokens / max(1, stats.prompt_tokens))
        metrics.kv_tokens.labels("used").set(stats.kv_tokens_used)
        metrics.kv_tokens.labels("cached").set(stats.kv_tokens_cached)
        metrics.kv_tokens.labels("pinned").set(stats.kv_tokens_pinned)
        metrics.kv_tokens.labels("host").set(stats.kv_tokens_host)
        metrics.kv_tokens.labels("total").set(stats.kv_tokens_total)
