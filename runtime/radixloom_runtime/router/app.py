"""The ASGI application of a router: what it answers itself, and the way to a leader.

Plain ASGI: an answer goes to the client chunk by chunk as it comes, and no faster than it reads.
"""

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from radixloom_runtime.errors import OverloadedError, RequestError
from radixloom_runtime.router import upstream
from radixloom_runtime.router.activity import Activity
from radixloom_runtime.router.fingerprint import Fingerprint, fingerprint
from radixloom_runtime.router.forwarding import Forwarder
from radixloom_runtime.router.http_connection import CutOffError
from radixloom_runtime.router.metrics import RouterMetrics
from radixloom_runtime.router.own import OwnPaths
from radixloom_runtime.router.rate_limit import RateLimit
from radixloom_runtime.router.trace import Trace
from radixloom_runtime.server import dialects, problems
from radixloom_runtime.server.caller import user_of
from radixloom_runtime.server.connection import (
    REQUEST_ID_HEADER,
    read_body,
    request_id_of,
    until_disconnect,
)
from radixloom_runtime.server.keys import Keys, UnauthorizedError

SESSION_HEADER = "x-session-id"
LARGE_BODY_BYTES = 64 * 1024
"""From here on a body is read in a thread: a megabyte takes ten milliseconds, in which running
streams must go on."""

LEADERS_OWN = frozenset(
    {"/flush_cache", "/pin_prefix", "/unpin_prefix", "/abort_request"}
    | {"/get_engine_stats", "/get_prefix_tree"}
    | {"/pause_generation", "/continue_generation", "/start_profile", "/stop_profile"}
    | {"/update_weights_from_disk", "/load_lora_adapter", "/unload_lora_adapter"}
    | {"/v1/load_lora_adapter", "/v1/unload_lora_adapter"}
)
"""Of one process; through a router, nobody could say which."""

log = structlog.get_logger()


class NotRoutedError(RequestError):
    """A path of leaders that routers do not pass on."""

    status = 404


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may ask, how often, and how much at once."""

    keys: Keys
    rate_limit: RateLimit | None
    max_body_bytes: int


class RouterApp:
    """Answers every request, and tells of each."""

    def __init__(
        self,
        own: OwnPaths,
        forwarder: Forwarder,
        admission: Admission,
        activity: Activity,
        metrics: RouterMetrics,
    ) -> None:
        self._own = own
        self._forwarder = forwarder
        self._admission = admission
        self._activity = activity
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the ASGI server, which is told to send no other scopes."""
        request_id = request_id_of(Headers(scope=scope))
        trace = Trace(scope["method"], scope["path"], request_id)

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.answers(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        own = self._own.answer(scope["path"])
        try:
            if own is not None:
                await own(scope, receive, send_noting)
            else:
                await self._answer_or_error(Request(scope, receive), send_noting, trace)
        finally:
            trace.finish(self._metrics, is_own=own is not None)

    async def _answer_or_error(self, request: Request, send: Send, trace: Trace) -> None:
        try:
            await self._answer(request, send, trace)
        except RequestError as error:
            await _tell(error, request, send)
        except problems.ClientDisconnectedError:
            trace.end = "disconnected"
        except CutOffError as error:
            # Half an answer is out. Returning without its end makes the server cut the connection.
            trace.end = "cut_off"
            self._metrics.cut_off.inc()
            log.warning("request.cut_off", request_id=trace.request_id, problem=str(error))
        except Exception:
            trace.end = "failed"
            log.exception("request.failed", request_id=trace.request_id)
            if trace.first_byte_seconds is not None:
                raise  # the connection must break
            await _tell(problems.InternalError(trace.request_id), request, send)

    async def _answer(self, request: Request, send: Send, trace: Trace) -> None:
        self._admit(request)
        # what is no reason to wait for a replica is none to keep one
        with self._activity.asked() if request.method == "POST" else nullcontext():
            await self._route(request, send, trace)

    async def _route(self, request: Request, send: Send, trace: Trace) -> None:
        body = await read_body(request, self._admission.max_body_bytes)
        asked = upstream.asked(request.scope, body, trace.request_id)
        prompt = await _fingerprint(request, body)
        work = self._pass_on(asked, prompt, send, trace)
        await until_disconnect(request.receive, work)

    def _admit(self, request: Request) -> None:
        """Raise an error of the client's unless the request may be passed on."""
        path = request.scope["path"]
        try:
            self._admission.keys.check(request.method, path, request.headers)
        except UnauthorizedError:
            self._metrics.refused.labels("no_key").inc()
            raise
        if path in LEADERS_OWN:
            raise NotRoutedError(
                f"{path} is for one replica, and a router has several; send it to the replica's"
                " own address",
                code="not_routed",
            )
        limit = self._admission.rate_limit
        if limit is None or request.method != "POST":
            return
        wait_seconds = limit.wait_seconds(user_of(request, None), time.monotonic())
        if wait_seconds > 0:
            self._metrics.refused.labels("rate_limit").inc()
            raise OverloadedError(
                "this API key has sent its requests of a minute",
                retry_after_seconds=wait_seconds,
                code="rate_limit_exceeded",
            )

    async def _pass_on(
        self, asked: upstream.Asked, prompt: Fingerprint, send: Send, trace: Trace
    ) -> None:
        async with self._forwarder.answer(asked, prompt, trace) as answer:
            start = {
                "type": "http.response.start",
                "status": answer.status,
                "headers": answer.headers,
            }
            await send(start)
            async for piece in answer.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _tell(error: RequestError, request: Request, send: Send) -> None:
    answer = dialects.error_response(error, request.scope["path"])
    await answer(request.scope, request.receive, send)


async def _fingerprint(request: Request, body: bytes) -> Fingerprint:
    if request.method != "POST":
        return Fingerprint()
    session = request.headers.get(SESSION_HEADER, "")
    if len(body) < LARGE_BODY_BYTES:
        return fingerprint(body, session)
    return await asyncio.to_thread(fingerprint, body, session)
