"""Every metric of a router; `radixloom_runtime.metrics` has those of the leaders."""

from radixloom_runtime.metrics import MetricSet

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class RouterMetrics(MetricSet):
    """The metrics of one router."""

    def __init__(self) -> None:
        super().__init__()
        self._declare_requests()
        self._declare_choices()
        self._declare_states()

    def _declare_requests(self) -> None:
        self.requests = self._counter(
            "radixloom_router_requests",
            "Requests answered, by path and status; 499: the client left before the answer.",
            "endpoint",
            "status",
        )
        self.first_byte_seconds = self._histogram(
            "radixloom_router_first_byte_seconds",
            "Arrival of a request to the first byte of its answer, waiting for a leader included.",
            _SECONDS,
        )
        self.request_seconds = self._histogram(
            "radixloom_router_request_seconds",
            "Arrival of a request to the end of its answer.",
            _SECONDS,
        )
        self.cut_off = self._counter(
            "radixloom_router_cut_off_answers",
            "Answers that ended early, since their leader was lost.",
        )
        self.refused = self._counter(
            "radixloom_router_refused_requests",
            "Requests refused by the router itself, by reason.",
            "reason",
        )

    def _declare_choices(self) -> None:
        self.choices = self._counter(
            "radixloom_router_choices",
            "Choices of a leader, by reason: prefix, home, overflow, least_load, turn.",
            "reason",
        )
        self.retries = self._counter(
            "radixloom_router_retries",
            "Requests sent again before any byte of an answer, by what happened to them.",
            "cause",
        )
        self.prompt_blocks = self._counter(
            "radixloom_router_prompt_blocks", "Blocks of 256 bytes of the prompts that were sent."
        )
        self.matched_blocks = self._counter(
            "radixloom_router_matched_blocks",
            "Of these, blocks that the chosen leader probably held.",
        )

    def _declare_states(self) -> None:
        self.held_requests = self._gauge(
            "radixloom_router_held_requests", "Requests that wait for a leader to be ready."
        )
        self.idle_seconds = self._gauge(
            "radixloom_router_idle_seconds",
            "For how long a leader has been ready without any POST; 0 while one runs or waits.",
        )
        self.hold_seconds = self._histogram(
            "radixloom_router_hold_seconds",
            "How long held requests waited, whatever came of it.",
            _SECONDS,
        )
        self.running_requests = self._gauge(
            "radixloom_router_running_requests",
            "Requests that were sent to a leader and are not yet answered.",
        )
        self.leaders = self._gauge(
            "radixloom_router_leaders", "Leaders, by state: ready, not_ready.", "state"
        )
        self.remembered_blocks = self._gauge(
            "radixloom_router_remembered_blocks", "Blocks of prompts remembered, of all leaders."
        )
