"""The console: a page at `/` to talk to the model and to watch the engine.

Files of `console/`, as they are: no build step, and nothing from elsewhere, which the policy in the
answers' headers forbids. They are open without a key, since they hold no data; what the page asks
for is guarded like any other request.
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).with_name("console")
PATH = "/console"
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""`no-cache`: kept by browsers, and asked for again by its tag, so that a new release shows."""

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Show the console."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


class Assets:
    """The page's scripts and styles."""

    def __init__(self) -> None:
        self._files: ASGIApp = StaticFiles(directory=FOLDER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._files(scope, receive, send_guarded)
