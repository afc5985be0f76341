"""Errors as Anthropic writes them: `{"type": "error", "error": {"type", "message"}}`."""

from collections.abc import Mapping

import msgspec

from radixloom_runtime.errors import RequestError

_KINDS: Mapping[int, str] = {
    401: "authentication_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_SERVERS_FAULT = 500


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong."""

    type: str
    message: str


class Error(msgspec.Struct, frozen=True, tag="error"):
    """An error, as a whole answer or as a stream's last event."""

    error: ErrorDetail


def told(error: RequestError) -> Error:
    """Return an error in Anthropic's form, which names no parameter but in the message."""
    of_others = "api_error" if error.status >= _SERVERS_FAULT else "invalid_request_error"
    return Error(ErrorDetail(_KINDS.get(error.status, of_others), str(error)))
