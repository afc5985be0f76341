"""The client's side of an HTTP request: its id, its body, and whether it is still there.

Knows nothing of models, so that the router shares it.
"""

import asyncio
import re
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from radixloom_runtime.server.problems import BodyTooLargeError, ClientDisconnectedError

REQUEST_ID_HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

_T = TypeVar("_T")


def request_id_of(headers: Headers) -> str:
    """Take the client's id if it is fit for a log line, else make one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body. Raises: `BodyTooLargeError`, `ClientDisconnectedError`."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError(
                    f"the body is larger than the {max_bytes} bytes that this server takes"
                    " (max_body_bytes); shorten it",
                    code="body_too_large",
                )
            chunks.append(chunk)
    except ClientDisconnect:
        raise ClientDisconnectedError from None
    return b"".join(chunks)


async def disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` while the client is there. Raises: `ClientDisconnectedError`."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnectedError
    finally:
        watch.cancel()
        task.cancel()
