"""What the endpoints work with: one object per process, found through the request."""

from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from radixloom_runtime.metrics import Metrics
from radixloom_runtime.server.engine_client import EngineClient
from radixloom_runtime.server.in_flight import InFlight
from radixloom_runtime.server.keys import Keys
from radixloom_runtime.server.lifecycle import Lifecycle
from radixloom_runtime.server.responses.store import ResponseStore
from radixloom_runtime.server.tracing import Tracing
from radixloom_runtime.server.tree_view import TreeView
from radixloom_runtime.settings import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Service:
    """The engine's client, the state of the process, and its metrics."""

    engine: EngineClient
    lifecycle: Lifecycle
    metrics: Metrics
    request_timeout: float | None = None
    """Seconds a request may take that does not say itself."""
    keys: Keys = field(default_factory=Keys)
    """Who may ask."""
    max_body_bytes: int = MAX_BODY_BYTES
    has_console: bool = True
    """Whether there is a page at `/`, and what it shows of the engine."""
    tree_view: TreeView = field(default_factory=TreeView)
    in_flight: InFlight = field(default_factory=InFlight)
    responses: ResponseStore = field(default_factory=ResponseStore)
    tracing: Tracing | None = None
    """Who tells a collector of requests; None: nobody wants to know."""


def service_of(request: Request) -> Service:
    """Return the service of the application that received `request`."""
    return cast("Service", request.app.state.service)
