"""A span for each request, by OpenTelemetry, to where OTLP is taken over HTTP.

    chat smollm2     server span, under the client's traceparent: arrival to the last byte
    ├── queue        given to the engine, to the first step that has a part of it
    ├── prefill      to the first token
    └── decode       to the last token

Spans are made once a request is over, of times that were taken anyway, and a thread of the SDK's
sends them: nobody waits for it, and what cannot be sent is dropped. Without an endpoint
OpenTelemetry's SDK is not even imported. It reads variables of its own: OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and more.
"""

import os
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from radixloom_runtime import __version__
from radixloom_runtime.server import spans
from radixloom_runtime.server.spans import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own, which the exporter reads."""
CLOSE_SECONDS = 2.0
"""At the end, for what was not sent yet; then a collector that is away is given up."""
_TRACES_PATH = "/v1/traces"
_NANOSECONDS = 1e9


class Tracing:
    """Makes spans of requests that are over."""

    def __init__(self, provider: "TracerProvider", exporter: "SpanExporter") -> None:
        """`provider` has spans sent by `exporter`; both are closed with this."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("radixloom", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def record(self, exchange: Exchange) -> None:
        """Tell of a request, unless the client's trace or the sampler leaves it out."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        # Requests are timed on the monotonic clock, and spans carry the time of day, which may have
        # been set since the start.
        epoch = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            spans.name_of(exchange),
            self._propagator.extract(exchange.headers),
            SpanKind.SERVER,
            spans.attributes_of(exchange),
            start_time=_at(exchange.began, epoch),
        )
        if not span.is_recording():
            return
        if exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        inside = set_span_in_context(span)
        for phase in spans.phases_of(exchange):
            part = self._tracer.start_span(phase.name, inside, start_time=_at(phase.began, epoch))
            part.end(_at(phase.ended, epoch))
        span.end(_at(exchange.ended, epoch))

    def close(self) -> None:
        """Send what is left; waits for it, and so belongs into a thread."""
        giving_up = threading.Timer(CLOSE_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()
        giving_up.join()


def load(endpoint: str | None) -> Tracing | None:
    """Return what traces requests; None: nobody wants to know.

    `endpoint` is where a collector is, like http://collector:4318; without it, OpenTelemetry's own
    variables say.
    """
    if endpoint is None and not any(map(os.environ.get, ENDPOINT_VARIABLES)):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": "radixloom", "service.version": __version__})
    # Shut down by `close`, while the loop that answers is still there.
    provider = TracerProvider(
        resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    url = None if endpoint is None else endpoint.rstrip("/") + _TRACES_PATH
    exporter = OTLPSpanExporter(endpoint=url)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, exporter)


def _at(seconds: float, epoch: int) -> int:
    return epoch + int(seconds * _NANOSECONDS)
