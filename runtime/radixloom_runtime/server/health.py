"""`/healthz`, `/startupz`, `/readyz`, `/metrics`: what kubelets and Prometheus ask.

healthz    the process answers and its engine lives; fails once the engine is gone
startupz   503 with the progress until ready, then 200 with what the start took
readyz     requests should be sent here: ready, not draining, steps succeed

On a follower of a slice, which takes no requests, `startupz` is 200 from the first moment: it waits
for its leader as long as it must, and the leader's own start stands for the slice's. Its `readyz`
tells whether it runs the leader's plans, and its rank, so that no router takes it for a leader.
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from radixloom_runtime import __version__
from radixloom_runtime.metrics import CONTENT_TYPE
from radixloom_runtime.server import statuses
from radixloom_runtime.server.lifecycle import Lifecycle, Serving
from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.service import service_of

router = APIRouter(tags=["health"])

_UNAVAILABLE: statuses.Responses = {503: {"description": "Not, or not yet; `reason` tells why."}}


@router.get("/healthz", responses=_UNAVAILABLE)
async def healthz(request: Request) -> Response:
    """Whether the process should live on."""
    lifecycle = service_of(request).lifecycle
    if lifecycle.engine_lost is not None:
        return json_response({"status": "failed", "reason": lifecycle.engine_lost}, status=503)
    return json_response({"status": "ok"})


@router.get("/startupz", responses=_UNAVAILABLE)
async def startupz(request: Request) -> Response:
    """How far the start is."""
    lifecycle = service_of(request).lifecycle
    serving = lifecycle.serving
    if serving is not None:
        return json_response(_start_report(serving) | _slice(lifecycle))
    status = 200 if lifecycle.follows else 503
    report = {"status": "following"} if lifecycle.is_started else _progress(lifecycle)
    return json_response(report | _slice(lifecycle), status=status)


@router.get("/readyz", responses=_UNAVAILABLE)
async def readyz(request: Request) -> Response:
    """Whether to send requests here."""
    lifecycle = service_of(request).lifecycle
    reason = lifecycle.why_not_ready()
    if reason is not None:
        return json_response({"status": "unavailable", "reason": reason}, status=503)
    return json_response({"status": "ready"} | _slice(lifecycle))


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus text."""
    content = service_of(request).metrics.render()
    return Response(content, headers={"content-type": CONTENT_TYPE})


@router.get("/version")
async def version() -> Response:
    """The release that runs."""
    return json_response({"version": __version__})


def _progress(lifecycle: Lifecycle) -> dict[str, Any]:
    progress = lifecycle.progress
    return {
        "status": "starting",
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit,
        "seconds": progress.seconds,
    }


def _slice(lifecycle: Lifecycle) -> dict[str, Any]:
    """Tell this host's place in its slice; nothing where it is alone."""
    if lifecycle.follows:
        return {"rank": lifecycle.rank}
    return {"followers": lifecycle.followers} if lifecycle.followers else {}


def _start_report(serving: Serving) -> dict[str, Any]:
    limits = serving.limits
    return {
        "status": "started",
        "model": serving.model.name,
        "start_seconds": limits.start_seconds,
        "num_buckets": limits.num_buckets,
        "compile_cache_hits": limits.compile_cache_hits,
    }
