"""Every metric of a router; `radixloom_runtime.metrics` has those of the leaders."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # one more series per metric, which nobody reads

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RouterMetrics:
    """The metrics of one router, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_requests()
        self._declare_choices()
        self._declare_states()

    def render(self) -> bytes:
        """Write the Prometheus text format."""
        return generate_latest(self.registry)

    def _declare_requests(self) -> None:
        self.requests = Counter(
            "radixloom_router_requests",
            "Requests answered, by path and status; 499: the client left before the answer.",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self.first_byte_seconds = Histogram(
            "radixloom_router_first_byte_seconds",
            "Arrival of a request to the first byte of its answer, waiting for a leader included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "radixloom_router_request_seconds",
            "Arrival of a request to the end of its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.cut_off = Counter(
            "radixloom_router_cut_off_answers",
            "Answers that ended early, since their leader was lost.",
            registry=self.registry,
        )
        self.refused = Counter(
            "radixloom_router_refused_requests",
            "Requests refused by the router itself, by reason.",
            ("reason",),
            registry=self.registry,
        )

    def _declare_choices(self) -> None:
        self.choices = Counter(
            "radixloom_router_choices",
            "Choices of a leader, by reason: prefix, home, overflow, least_load, turn.",
            ("reason",),
            registry=self.registry,
        )
        self.retries = Counter(
            "radixloom_router_retries",
            "Requests sent again before any byte of an answer, by what happened to them.",
            ("cause",),
            registry=self.registry,
        )
        self.prompt_blocks = Counter(
            "radixloom_router_prompt_blocks",
            "Blocks of 256 bytes of the prompts that were sent.",
            registry=self.registry,
        )
        self.matched_blocks = Counter(
            "radixloom_router_matched_blocks",
            "Of these, blocks that the chosen leader probably held.",
            registry=self.registry,
        )

    def _declare_states(self) -> None:
        self.held_requests = Gauge(
            "radixloom_router_held_requests",
            "Requests that wait for a leader to be ready.",
            registry=self.registry,
        )
        self.hold_seconds = Histogram(
            "radixloom_router_hold_seconds",
            "How long held requests waited, whatever came of it.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.running_requests = Gauge(
            "radixloom_router_running_requests",
            "Requests that were sent to a leader and are not yet answered.",
            registry=self.registry,
        )
        self.leaders = Gauge(
            "radixloom_router_leaders",
            "Leaders, by state: ready, not_ready.",
            ("state",),
            registry=self.registry,
        )
        self.remembered_blocks = Gauge(
            "radixloom_router_remembered_blocks",
            "Blocks of prompts remembered, of all leaders.",
            registry=self.registry,
        )
