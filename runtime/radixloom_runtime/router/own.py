"""What a router answers itself: health, metrics, version. Probes and scrapes carry no key."""

from collections.abc import Callable

from starlette.responses import Response

from radixloom_runtime import __version__
from radixloom_runtime.metrics import CONTENT_TYPE
from radixloom_runtime.router.metrics import RouterMetrics
from radixloom_runtime.server.problems import json_response


class OwnPaths:
    """Paths to answers.

    healthz, startupz   the process answers
    readyz              requests should be sent here: every leader was asked once. Not: that one is
                        ready, since this is where requests wait for the first
    """

    def __init__(self, metrics: RouterMetrics, *, has_looked: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._has_looked = has_looked

    def answer(self, path: str) -> Response | None:
        """Answer a request to `path`, if it is one of these."""
        match path:
            case "/healthz" | "/startupz":
                return json_response({"status": "ok"})
            case "/readyz":
                if self._has_looked():
                    return json_response({"status": "ready"})
                reason = "starting: leaders were not yet asked"
                return json_response({"status": "unavailable", "reason": reason}, status=503)
            case "/metrics":
                content = self._metrics.render()
                return Response(content, headers={"content-type": CONTENT_TYPE})
            case "/version":
                return json_response({"version": __version__})
            case _:
                return None
