"""What is told of a request in the log and the metrics once it is over."""

import time
from dataclasses import dataclass, field

import structlog

from radixloom_runtime.router.metrics import RouterMetrics

ENDPOINTS = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/messages", "/v1/responses"}
    | {"/v1/messages/count_tokens", "/v1/embeddings", "/v1/score", "/v1/rerank"}
    | {"/generate", "/tokenize", "/detokenize"}
    | {"/healthz", "/startupz", "/readyz", "/metrics", "/version"}
)
"""Paths that the metrics tell apart."""
CLIENT_LEFT = 499
"""As nginx has it: the client left before any answer."""

log = structlog.get_logger()


@dataclass(slots=True)
class Trace:
    """One request, from its arrival on."""

    method: str
    path: str
    request_id: str
    began: float = field(default_factory=time.monotonic)
    status: int = CLIENT_LEFT
    first_byte_seconds: float | None = None
    leader: str | None = None
    reason: str | None = None
    prompt_blocks: int = 0
    matched_blocks: int = 0
    attempts: int = 0
    held_seconds: float = 0.0
    end: str = "complete"
    """Or `disconnected`, `cut_off`, `failed`."""

    def answers(self, status: int) -> None:
        """Note that an answer begins."""
        self.status = status
        self.first_byte_seconds = time.monotonic() - self.began

    def finish(self, metrics: RouterMetrics, *, is_own: bool) -> None:
        """Count the request; write its line, unless it is a probe or a scrape."""
        endpoint = self.path if self.path in ENDPOINTS else "other"
        metrics.requests.labels(endpoint, str(self.status)).inc()
        if is_own:
            return
        seconds = time.monotonic() - self.began
        metrics.request_seconds.observe(seconds)
        if self.first_byte_seconds is not None:
            metrics.first_byte_seconds.observe(self.first_byte_seconds)
        log.info(
            "request.finished",
            method=self.method,
            path=self.path,
            request_id=self.request_id,
            status=self.status,
            end=self.end,
            leader=self.leader,
            reason=self.reason,
            attempts=self.attempts,
            prompt_blocks=self.prompt_blocks,
            matched_blocks=self.matched_blocks,
            held_seconds=round(self.held_seconds, 3),
            first_byte_seconds=self.first_byte_seconds and round(self.first_byte_seconds, 4),
            seconds=round(seconds, 4),
        )
