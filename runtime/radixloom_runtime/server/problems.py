"""Errors as OpenAI writes them: `{"error": {"message", "type", "param", "code"}}`.

What the client must change is a `RequestError` with its status; everything else is ours, is
logged with its traceback, and tells the client no more than the request's id.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from radixloom_runtime.errors import OverloadedError, RequestError

STARTING_RETRY_SECONDS = 5.0


class ModelNotFoundError(RequestError):
    """The request names a model that is not served here."""

    status = 404


class BodyTooLargeError(RequestError):
    """The body is larger than any prompt that fits."""

    status = 413


class UnavailableError(RequestError):
    """Not now: starting or draining."""

    status = 503
    kind = "service_unavailable_error"

    def __init__(self, message: str, *, code: str, retry_after_seconds: float) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class EngineLostError(RequestError):
    """The engine ended while it worked on the request."""

    status = 500
    kind = "server_error"


class RequestTimeoutError(RequestError):
    """The request's deadline passed before its answer was complete."""

    status = 408
    kind = "timeout_error"


class InternalError(RequestError):
    """A defect of ours, of which the client is told no more than where to look it up."""

    status = 500
    kind = "server_error"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"internal error; the server's log has it under request {request_id}",
            code="internal_error",
        )


class ClientDisconnectedError(Exception):
    """Nobody waits for the answer any more."""


def renamed(error: RequestError, names: Mapping[str, str]) -> RequestError:
    """Say in an error of a chat what its parameter is called in another API."""
    ours = error.param or ""
    theirs = names.get(ours, ours).replace(".function.", ".")  # tools lie flat there
    error.args = (error.args[0].replace(f"{ours}:", f"{theirs}:", 1),)
    error.param = theirs or None
    return error


def error_object(error: RequestError) -> dict[str, Any]:
    """Return the JSON object of an error."""
    return {
        "error": {
            "message": str(error),
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
    }


def headers_of(error: RequestError) -> dict[str, str]:
    """Return what an error says in headers: whether, and when, to try again."""
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError | UnavailableError):
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, RequestTimeoutError):
        headers["x-should-retry"] = "false"  # OpenAI's clients would send it again, unasked
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return headers


def json_response(
    content: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return `content`, msgspec structs included, as JSON."""
    return Response(
        msgspec.json.encode(content), status, headers=headers, media_type="application/json"
    )
