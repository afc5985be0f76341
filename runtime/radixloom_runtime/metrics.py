"""Every metric of the runtime, declared in one place.

`radixloom_...` is measured by the server as requests pass, or copied from the engine's lifetime
counters. The three `radixloom:...` gauges carry the names that the Gateway API inference extension
asks a model server for. Labels are bounded: endpoints and statuses of our own, phases, reasons.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # one more series per metric, which nobody reads

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricSet:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def render(self) -> bytes:
        """Write the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)


class Metrics(MetricSet):
    """The metrics of a server process."""

    def __init__(self) -> None:
        super().__init__()
        self._declare_requests()
        self._declare_tokens()
        self._declare_engine()
        self._declare_start()

    def _declare_requests(self) -> None:
        self.http_requests = self._counter(
            "radixloom_http_requests", "HTTP requests answered.", "endpoint", "status"
        )
        self.finished = self._counter(
            "radixloom_choices_finished",
            "Choices ended, by finish reason, deadline or abort.",
            "reason",
        )
        self.time_to_first_token = self._histogram(
            "radixloom_time_to_first_token_seconds", "Arrival to first token of a request.", _SLOW
        )
        self.inter_token_latency = self._histogram(
            "radixloom_inter_token_latency_seconds", "Between tokens of one choice.", _FAST
        )
        self.request_seconds = self._histogram(
            "radixloom_request_seconds", "Arrival to last token of a request.", _SLOW
        )
        self.num_queue_reqs = self._gauge(
            "radixloom:num_queue_reqs", "Requests waiting in the engine."
        )
        self.num_running_reqs = self._gauge(
            "radixloom:num_running_reqs", "Requests in the engine's batch."
        )
        self.token_usage = self._gauge(
            "radixloom:token_usage", "Share of the KV cache held by running requests, 0 to 1."
        )

    def _declare_tokens(self) -> None:
        self.prompt_tokens = self._counter("radixloom_prompt_tokens", "Prompt tokens admitted.")
        self.cached_tokens = self._counter(
            "radixloom_cached_prompt_tokens", "Prompt tokens whose KV the prefix cache held."
        )
        self.restored_tokens = self._counter(
            "radixloom_restored_tokens", "Cached prompt tokens that came back from host memory."
        )
        self.output_tokens = self._counter("radixloom_generated_tokens", "Tokens generated.")
        self.prefix_hit_ratio = self._gauge(
            "radixloom_prefix_hit_ratio", "Cached share of all prompt tokens so far, 0 to 1."
        )
        self.kv_tokens = self._gauge(
            "radixloom_kv_tokens",
            "Tokens of KV: used (of them pinned), cached (evictable), total; host: copies there.",
            "state",
        )

    def _declare_engine(self) -> None:
        self.steps = self._counter("radixloom_steps", "Steps of the engine.")
        self.step_seconds = self._counter(
            "radixloom_step_seconds", "Time in steps, waiting for the device included."
        )
        self.host_seconds = self._counter(
            "radixloom_step_host_seconds", "Of the steps, time of scheduling and bookkeeping."
        )
        self.preemptions = self._counter(
            "radixloom_preemptions",
            "Running requests sent back to the queue: no KV pages, or displaced by priority.",
        )
        self.expired = self._counter(
            "radixloom_requests_timed_out", "Requests whose deadline passed before their end."
        )
        self.guessed_tokens = self._counter(
            "radixloom_guessed_tokens", "Tokens guessed by speculation and verified by a step."
        )
        self.right_guesses = self._counter(
            "radixloom_right_guesses", "Guessed tokens that were what was then sampled."
        )
        self.compiles_after_warmup = self._counter(
            "radixloom_compiles_after_warmup", "Compilations after ready; each one is a defect."
        )
        self.engine_up = self._gauge("radixloom_engine_up", "1 while the engine process lives.")

    def _declare_start(self) -> None:
        self.start_seconds = self._gauge(
            "radixloom_start_seconds", "What the phases of the start took.", "phase"
        )
        self.compile_cache_hits = self._gauge(
            "radixloom_compile_cache_hits", "Buckets that came from the persistent cache."
        )
        self.build_info = self._gauge(
            "radixloom_build_info",
            "Always 1; labels tell what runs.",
            "version",
            "model",
            "dtype",
            "device",
        )
