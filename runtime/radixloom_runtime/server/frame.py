"""What surrounds every HTTP request: id, key, metric, trace, and the answer to a defect of ours.

A plain ASGI middleware: Starlette's base class for them buffers streams behind another task.
"""

import contextlib
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radixloom_runtime.server import dialects, problems
from radixloom_runtime.server.connection import REQUEST_ID_HEADER, request_id_of
from radixloom_runtime.server.keys import UnauthorizedError
from radixloom_runtime.server.service import Service
from radixloom_runtime.server.spans import Exchange

log = structlog.get_logger()


class Frame:
    """Gives each request an id, counts its answer, and lets no traceback out."""

    def __init__(self, app: ASGIApp, *, service: Service, endpoints: frozenset[str]) -> None:
        """Requests to other paths than `endpoints` are counted together."""
        self._app = app
        self._keys = service.keys
        self._lifecycle = service.lifecycle
        self._metrics = service.metrics
        self._tracing = service.tracing
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 0, time.monotonic()

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                if dialects.is_anthropic(scope["path"]):
                    headers[dialects.ANTHROPIC_REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(
                request_id=request_id, endpoint=scope["path"]
            ):
                await self._app_or_500(scope, receive, send_framed, request_id)
        finally:
            # 499, as nginx has it: the client left before any answer.
            self._tell(scope, status or 499, began)

    async def _app_or_500(
        self, scope: Scope, receive: Receive, send: Send, request_id: str
    ) -> None:
        has_started = False

        async def send_noting(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        # Probes and scrapes are not in flight: a drain does not wait for them.
        is_work = scope["method"] == "POST"
        try:
            self._keys.check(scope["method"], scope["path"], Headers(scope=scope))
            with self._lifecycle.request() if is_work else contextlib.nullcontext():
                await self._app(scope, receive, send_noting)
        except UnauthorizedError as error:
            log.info("request.unauthorized")
            await dialects.error_response(error, scope["path"])(scope, receive, send)
        except problems.ClientDisconnectedError:
            log.info("request.disconnected")
        except Exception:
            log.exception("request.failed")
            if has_started:
                raise  # half an answer is out: the connection must break
            defect = problems.InternalError(request_id)
            await dialects.error_response(defect, scope["path"])(scope, receive, send)

    def _tell(self, scope: Scope, status: int, began: float) -> None:
        """Count a request that is over, and trace it unless it is a probe or a scrape."""
        path: str = scope["path"]
        endpoint = path if path in self._endpoints else "other"
        self._metrics.http_requests.labels(endpoint, str(status)).inc()
        if self._tracing is None or scope["method"] != "POST":
            return
        exchange = Exchange(
            method=scope["method"],
            path=endpoint,
            headers=Headers(scope=scope),
            request_id=scope["state"]["request_id"],
            status=status,
            began=began,
            ended=time.monotonic(),
            asked=scope["state"].get("asked"),
        )
        self._tracing.record(exchange)
